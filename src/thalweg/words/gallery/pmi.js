"use strict";
// Twins of thalweg.words.gallery.pmi: choices, product, inner, alike. The tests compare the two.
const choices = {
  exp: x => Math.exp(x),
  "square": x => 1 + x + x * x / 2,
  "softplus": x => Math.log(1 + Math.exp(x)),
  "shifted": x => Math.exp(x) + 0.5,
};
const product = (name, x, y, z) => Math.log(choices[name](z)) + Math.log(choices[name](x + y - z));

const store = JSON.parse(document.getElementById("vectors").textContent);
const words = store.words, scales = store.scales;
const codes = text => new Int8Array(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
const vectors = codes(store.vectors), profiles = codes(store.profiles);
const place = new Map(words.map((w, i) => [w, i]));
const dot = (a, i, j) => { const d = a.length / words.length; let s = 0; for (let k = 0; k < d; k++) s += a[i * d + k] * a[j * d + k]; return s; };
const inner = (i, j) => dot(vectors, i, j) * scales[i] * scales[j];
const alike = (i, j) => dot(profiles, i, j) / Math.sqrt(dot(profiles, i, i) * dot(profiles, j, j));
const ranked = (score, i, n) => words.map((_, j) => j).filter(j => j !== i)
  .map(j => [score(i, j), j]).sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, n);
window.thalweg = { product, inner, alike, ranked, words };

const byId = id => document.getElementById(id);
const left = -3, right = 3, points = 61, low = -3, high = 6;
const px = z => 40 + (z - left) / (right - left) * 420, py = v => 210 - (v - low) / (high - low) * 190;
function draw() {
  const name = byId("f").value, x = Number(byId("x").value), y = Number(byId("y").value);
  for (const [id, v] of [["xv", x], ["yv", y]]) byId(id).textContent = v.toFixed(1).replace("-", "−");
  const path = [];
  let least = Infinity, most = -Infinity;
  for (let k = 0; k < points; k++) {
    const z = left + (right - left) * k / (points - 1), v = product(name, x, y, z);
    if (Number.isFinite(v)) { least = Math.min(least, v); most = Math.max(most, v); }
    const shown = Math.max(low - 1, Math.min(high + 1, Number.isFinite(v) ? v : low - 1));
    path.push((k ? "L" : "M") + px(z).toFixed(1) + " " + py(shown).toFixed(1));
  }
  byId("curve").setAttribute("d", path.join(""));
  const wanted = product(name, x, y, x);
  byId("wanted").setAttribute("d", "M40 " + py(wanted).toFixed(1) + "H460");
  const spread = most - least, text = store.text;
  byId("verdict").textContent = spread < 1e-9 ? text.flat : text.bent.replace("{spread}", spread.toFixed(2));
}
for (const id of ["f", "x", "y"]) byId(id).addEventListener("input", draw);

function list(id, score, i, unit) {
  const rows = ranked(score, i, 10), top = rows[0][0];
  byId(id).replaceChildren(...rows.map(([s, j]) => {
    const li = document.createElement("li"), b = document.createElement("button"), bar = document.createElement("span"), n = document.createElement("span");
    b.type = "button"; b.textContent = words[j]; b.addEventListener("click", () => ask(words[j]));
    bar.className = "bar"; bar.style.width = (60 * Math.max(0, s) / top).toFixed(1) + "%";
    n.className = "score"; n.textContent = s.toFixed(2) + unit;
    li.append(b, n, bar); return li;
  }));
}
function ask(word) {
  word = word.trim().toLowerCase();
  byId("word").value = word;
  if (!word) return;
  const i = place.get(word), note = byId("note");
  if (i === undefined) { note.textContent = store.text.unknown.replace(/\{(word|n)\}/g, (_, key) => ({ word, n: words.length })[key]); return; }
  note.textContent = "";
  list("related", inner, i, ""); list("similar", alike, i, "");
}
byId("word").addEventListener("change", e => ask(e.target.value));
for (const b of document.querySelectorAll("button[data-word]")) b.addEventListener("click", () => ask(b.dataset.word));
draw(); ask(store.first);
