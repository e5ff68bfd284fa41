"use strict";
// What pages with knobs share: their data, how numbers are told, how a picture is drawn, and what follows the knobs.
const store = JSON.parse(document.getElementById("carried").textContent), text = store.text;
const byId = id => document.getElementById(id);
const fill = (words, values) => words.replace(/\{(\w+)\}/g, (whole, key) => key in values ? values[key] : whole);
const short = x => x === 0 ? "0" : Math.abs(x) >= 0.001 && Math.abs(x) < 1e4 ? String(Number(x.toPrecision(3))).replace("-", "−") : x.toExponential(1).replace(/-/g, "−").replace("+", "");
const line = points => points.map(([x, y], k) => (k ? "L" : "M") + x.toFixed(1) + " " + y.toFixed(1)).join("");
const spots = points => points.map(([x, y]) => "M" + x.toFixed(1) + " " + y.toFixed(1) + "h0").join("");
const draw = (id, points) => byId(id).setAttribute("d", line(points));
const [left, top0, right, bottom] = store.plot;
const held = (x, low, high) => Math.max(low, Math.min(high, x));
// a picture's units from x0 to x1 and from y0 to y1; far outside, a line goes on but not for ever
const chart = (x0, x1, y0, y1) => ([x, y]) => [held(left + (x - x0) / (x1 - x0) * (right - left), -500, 1000), held(bottom - (y - y0) / (y1 - y0) * (bottom - top0), -500, 1000)];
const place = (id, [x, y]) => { byId(id).setAttribute("cx", x.toFixed(1)); byId(id).setAttribute("cy", y.toFixed(1)); };
const number = id => Number(byId(id).value);
// words of an element; those of a slider's output are what the slider says
const tell = (id, words) => { byId(id).textContent = words; if (byId(id).htmlFor) byId(byId(id).htmlFor.value).setAttribute("aria-valuetext", words); };

// The address holds the knobs that were turned, so that a page can be sent as it stands; the commands say what they stand at.
const knobs = [...document.querySelectorAll(".knobs :is(input, select)")], firsts = new Map(knobs.map(knob => [knob.id, knob.value]));
function restore() {
  for (const [id, value] of new URLSearchParams(location.hash.slice(1))) {
    if (!firsts.has(id) || byId(id).type === "range" && !(value.trim() && Number.isFinite(Number(value)))) continue;
    byId(id).value = value;
    if (byId(id).value === "") byId(id).value = firsts.get(id);  // no such choice
  }
}
const coded = knob => knob.tagName === "SELECT" ? knob.selectedOptions[0].dataset.code ?? knob.value : (byId(knob.id + "v")?.textContent ?? knob.value).replace(/−/g, "-").replace(/[,°]/g, "");
function follow() {
  const values = Object.fromEntries(knobs.map(knob => [knob.id, coded(knob)]));
  for (const code of document.querySelectorAll("code[data-code]")) code.textContent = fill(fill(code.dataset.code, values), values);
  const turned = knobs.filter(knob => knob.value !== firsts.get(knob.id)).map(knob => [knob.id, knob.value]);
  const hash = turned.length ? "#" + new URLSearchParams(turned) : "";
  if (hash !== location.hash) history.replaceState(null, "", location.pathname + location.search + hash);
}
restore();
document.addEventListener("input", follow);
window.addEventListener("hashchange", () => location.reload());
const turn = (ids, show) => { for (const id of ids) byId(id).addEventListener("input", show); show(); };
// a knob that a click turns
const set = (id, value) => { byId(id).value = value; byId(id).dispatchEvent(new Event("input", { bubbles: true })); };
// the marks of an upright axis of powers of ten, from 10^low to 10^high
const digits = power => "10" + String(power).replace(/[-0-9]/g, c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);
function powers(id, low, high) {
  const every = Math.max(1, Math.ceil((high - low) / 5)), marks = [];
  for (let power = Math.ceil(low / every) * every; power <= high; power += every) {
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "text");
    mark.setAttribute("x", left - 6); mark.setAttribute("y", (bottom - (power - low) / (high - low) * (bottom - top0) + 5).toFixed(1)); mark.setAttribute("text-anchor", "end");
    mark.textContent = digits(power); marks.push(mark);
  }
  byId(id).replaceChildren(...marks);
}
