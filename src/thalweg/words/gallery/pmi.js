// Twins of thalweg.words.gallery.pmi: choices, product and the methods of Store. The tests compare the two.
const choices = {
  exp: x => Math.exp(x),
  "square": x => 1 + x + x * x / 2,
  "softplus": x => Math.log(1 + Math.exp(x)),
  "shifted": x => Math.exp(x) + 0.5,
};
const product = (name, x, y, z) => Math.log(choices[name](z)) + Math.log(choices[name](x + y - z));

const words = store.words, scales = store.scales;
const codes = text => new Int8Array(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
const vectors = codes(store.vectors), dim = vectors.length / words.length;
const stops = Object.keys(store.profiles).map(Number);
const profiles = Object.fromEntries(stops.map(n => [n, codes(store.profiles[n])]));
const placed = new Map(words.map((w, i) => [w, i]));
const dot = (a, i, j) => { const d = a.length / words.length; let s = 0; for (let k = 0; k < d; k++) s += a[i * d + k] * a[j * d + k]; return s; };
const inner = (i, j) => dot(vectors, i, j) * scales[i] * scales[j];
const alike = (i, j, contexts) => { const p = profiles[contexts]; return dot(p, i, j) / Math.sqrt(dot(p, i, i) * dot(p, j, j)); };
const norm = i => Math.sqrt(inner(i, i));
function bias(i, t) {
  let sum = 0;
  for (let k = 0; k < dim; k++) sum += vectors[i * dim + k];
  return -store.rarities[i] - sum * scales[i] / Math.sqrt(dim) * t - t * t / 2;
}
function moved(i, j, t) {
  let both = 0, first = 0, second = 0;
  for (let k = 0; k < dim; k++) {
    const x = vectors[i * dim + k] * scales[i] + t / Math.sqrt(dim), y = vectors[j * dim + k] * scales[j] + t / Math.sqrt(dim);
    both += x * y; first += x * x; second += y * y;
  }
  return [both / Math.sqrt(first * second), both + bias(i, t) + bias(j, t), both - store.rarities[i] - store.rarities[j]];
}
const ranked = (score, i, n) => words.map((_, j) => j).filter(j => j !== i)
  .map(j => [score(i, j), j]).sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, n);
window.thalweg = { product, inner, alike, norm, bias, moved, ranked, words, stops };

const signed = (x, digits) => x.toFixed(digits).replace("-", "−");
const [from, to] = [-3, 3], points = 61, low = -3, high = 6;
const px = z => 40 + (z - from) / (to - from) * 420, py = v => 210 - (v - low) / (high - low) * 190;
function demand() {
  const name = byId("f").value, x = number("x"), y = number("y");
  tell("xv", signed(x, 1)); tell("yv", signed(y, 1));
  const path = [];
  let least = Infinity, most = -Infinity;
  for (let k = 0; k < points; k++) {
    const z = from + (to - from) * k / (points - 1), v = product(name, x, y, z);
    if (Number.isFinite(v)) { least = Math.min(least, v); most = Math.max(most, v); }
    const shown = Math.max(low - 1, Math.min(high + 1, Number.isFinite(v) ? v : low - 1));
    path.push((k ? "L" : "M") + px(z).toFixed(1) + " " + py(shown).toFixed(1));
  }
  byId("curve").setAttribute("d", path.join(""));
  const wanted = product(name, x, y, x);
  byId("wanted").setAttribute("d", "M40 " + py(wanted).toFixed(1) + "H460");
  const spread = most - least;
  byId("verdict").textContent = spread < 1e-9 ? text.flat : text.bent.replace("{spread}", spread.toFixed(2));
}

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
let asked = 0;
function similar() {
  const contexts = stops[Number(byId("stop").value)], kind = ["role", "between", "topic"][stops.indexOf(contexts)];
  tell("stopv", contexts.toLocaleString("en"));
  byId("kind").textContent = store.text[kind];
  list("similar", (i, j) => alike(i, j, contexts), asked, "");
}
const [rare0, rare1, longest] = store.range;
const norms = words.map((_, i) => norm(i));
const spot = i => [left + (store.rarities[i] - rare0) / (rare1 - rare0) * (right - left), bottom - norms[i] / longest * (bottom - top0)];
const rank = (values, i) => 1 + values.filter(v => v > values[i]).length;
function mark() {
  const [x, y] = spot(asked), here = byId("here");
  here.setAttribute("cx", x.toFixed(1)); here.setAttribute("cy", y.toFixed(1));
  byId("ranks").textContent = fill(text.ranks, { word: words[asked], norm: norms[asked].toFixed(2), rarity: store.rarities[asked].toFixed(2),
    first: rank(norms, asked), second: rank(store.rarities, asked), n: words.length });
}
byId("lengths").addEventListener("click", e => {
  const box = e.currentTarget.getBoundingClientRect(), u = 480 / box.width, x = (e.clientX - box.left) * u, y = (e.clientY - box.top) * u;
  const far = i => { const [a, b] = spot(i); return (a - x) ** 2 + (b - y) ** 2; };
  ask(words[words.reduce((best, _, i) => far(i) < far(best) ? i : best, 0)]);
});
function shift() {
  const t = Number(byId("t").value);
  tell("tv", t.toFixed(1));
  store.pairs.forEach(([i, j], k) => {
    const [cosine, glove, known] = moved(i, j, t);
    byId("cosine" + k).textContent = signed(cosine, 3); byId("glove" + k).textContent = signed(glove, 6); byId("known" + k).textContent = signed(known, 2);
  });
  const near = ranked((i, j) => moved(i, j, t)[0], asked, 6).map(([, j]) => words[j]);
  byId("nearest").textContent = fill(text.nearest, { word: words[asked], list: near.join(text.comma) });
}
byId("stop").addEventListener("input", similar); byId("t").addEventListener("input", shift);
function ask(word) {
  word = word.trim().toLowerCase();
  byId("word").value = word;
  if (!word) return;
  const i = placed.get(word), note = byId("note");
  if (i === undefined) { note.textContent = fill(text.unknown, { word, n: words.length }); return; }
  note.textContent = ""; asked = i;
  list("related", inner, i, ""); similar(); mark(); shift(); follow();
}
byId("word").addEventListener("change", e => ask(e.target.value));
for (const b of document.querySelectorAll("button[data-word]")) b.addEventListener("click", () => ask(b.dataset.word));
turn(["f", "x", "y"], demand); ask(byId("word").value); if (asked === 0) ask(store.first);

