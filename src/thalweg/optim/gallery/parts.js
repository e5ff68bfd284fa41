"use strict";
// What the pages of this part share: their data, how numbers are told, and how a picture is drawn.
const store = JSON.parse(document.getElementById("carried").textContent), text = store.text;
const byId = id => document.getElementById(id);
const fill = (words, values) => words.replace(/\{(\w+)\}/g, (_, key) => values[key]);
const short = x => x === 0 ? "0" : Math.abs(x) >= 0.001 && Math.abs(x) < 1e4 ? String(Number(x.toPrecision(3))).replace("-", "−") : x.toExponential(1).replace(/-/g, "−").replace("+", "");
const line = points => points.map(([x, y], k) => (k ? "L" : "M") + x.toFixed(1) + " " + y.toFixed(1)).join("");
const spots = points => points.map(([x, y]) => "M" + x.toFixed(1) + " " + y.toFixed(1) + "h0").join("");
const draw = (id, points) => byId(id).setAttribute("d", line(points));
const [left, top0, right, bottom] = store.plot;
const held = (x, low, high) => Math.max(low, Math.min(high, x));
// a picture's units from x0 to x1 and from y0 to y1; far outside, a line goes on but not for ever
const chart = (x0, x1, y0, y1) => ([x, y]) => [held(left + (x - x0) / (x1 - x0) * (right - left), -500, 1000), held(bottom - (y - y0) / (y1 - y0) * (bottom - top0), -500, 1000)];
const place = (id, [x, y]) => { byId(id).setAttribute("cx", x.toFixed(1)); byId(id).setAttribute("cy", y.toFixed(1)); };
const number = id => Number(byId(id).value), tell = (id, words) => { byId(id).textContent = words; };
const turn = (ids, show) => { for (const id of ids) byId(id).addEventListener("input", show); show(); };
