// Twins of thalweg.optim.gallery.momentum_kernel. The tests compare the two.
const { curvatures, begin, rest, fine, p0, lr0, land: lands, seed, summit, time } = store;
function euler(lr, time) {
  let [x, y] = begin;
  const path = [[x, y]], n = Math.floor(time / lr + 1e-9);
  for (let k = 0; k < n; k++) { x -= lr * curvatures[0] * x; y -= lr * curvatures[1] * y; path.push([x, y]); }
  return path;
}
const flow = t => [begin[0] * Math.exp(-curvatures[0] * t), begin[1] * Math.exp(-curvatures[1] * t)];
const off = (lr, time) => Math.max(...euler(lr, time).map(([x, y], k) => { const [a, b] = flow(k * lr); return Math.hypot(x - a, y - b); }));
const slope = (land, p) => land === "bowl" ? p : p * p * p - p - 0.1;
const height = (land, p) => land === "bowl" ? p * p / 2 : (p * p - 1) * (p * p - 1) / 4 - 0.1 * p;
function roll(lr, momentum, steps) {
  let p = rest, m = 0;
  const path = [p];
  for (let k = 0; k < steps; k++) { m = momentum * m + slope("wells", p); p -= lr * m; path.push(p); }
  return path;
}
const crossing = (lr, momentum, top, steps) => roll(lr, momentum, steps).findIndex(p => p > top);
function leastMomentum(lr, top) {
  let low = 0, high = 1;
  for (let k = 0; k < 30; k++) {
    const middle = (low + high) / 2;
    if (crossing(lr, middle, top, 1000) < 0) low = middle; else high = middle;
  }
  return high;
}
function glide(friction, n) {
  let p = rest, v = 0;
  const h = fine, path = [p], force = (p, v) => -friction * v - slope("wells", p);
  for (let k = 0; k < n; k++) {
    const a = force(p, v), b = force(p + h / 2 * v, v + h / 2 * a), c = force(p + h / 2 * (v + h / 2 * a), v + h / 2 * b), d = force(p + h * (v + h / 2 * b), v + h * c);
    p += h * v + h * h / 6 * (a + b + c); v += h / 6 * (a + 2 * b + 2 * c + d);
    path.push(p);
  }
  return path;
}
function noise(seed) {
  let state = seed, spare = NaN;
  const uniform = () => {
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
  return () => {
    if (!Number.isNaN(spare)) { const z = spare; spare = NaN; return z; }
    const length = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
    spare = length * Math.sin(angle);
    return length * Math.cos(angle);
  };
}
function shake(land, lr, momentum, deviation, steps) {
  let p = lands[land], m = 0;
  const path = [], normal = noise(seed);
  for (let k = 0; k < steps; k++) {
    m = momentum * m + slope(land, p) + deviation * normal(); p -= lr * m;
    if (!(Math.abs(p) < 1e3)) break;
    path.push(p);
  }
  return path;
}
function density(land, temperature, low, high, n) {
  const points = Array.from({ length: n }, (_, k) => low + (k + 0.5) * (high - low) / n), heights = points.map(p => height(land, p)), floor = Math.min(...heights);
  const weights = heights.map(h => Math.exp((floor - h) / temperature)), total = weights.reduce((sum, w) => sum + w, 0);
  return weights.map(w => w / total);
}
const temperature = (lr, momentum, variance) => lr * variance / (2 * (1 - momentum));
const exact = (lr, momentum, variance) => lr * variance * (1 + momentum) / ((1 - momentum) * (2 * (1 + momentum) - lr));
function pair(ratio, momentum, batch, samples) {
  const normal = noise(seed), lr = ratio * (1 - momentum) * batch;
  let p = 0.5, q = 0.5, m = 0, total = 0;
  const single = [p], other = [q];
  for (let i = 1; i <= samples; i++) {
    const z = normal();
    p -= ratio * (p + z); single.push(p);
    total += z;
    if (i % batch === 0) { m = momentum * m + (q + total / batch); q -= lr * m; total = 0; other.push(q); }
  }
  return [single, other];
}
const between = (one, other, batch) => Math.sqrt(other.reduce((sum, q, k) => sum + (q - one[k * batch]) * (q - one[k * batch]), 0) / other.length);
function threeWays(x, momentum, steps) {
  const curvature = x / lr0, paths = [[p0], [p0], [p0], [p0]];
  let p = p0, m = 0, k = p0, u = 0, look = p0, v = 0;
  for (let n = 0; n < steps; n++) {
    let g = curvature * p;
    m = momentum * m + g; p -= lr0 * (g + momentum * m);
    g = curvature * k; u = momentum * u - lr0 * g; k += momentum * u - lr0 * g;
    v = momentum * v - lr0 * (curvature * (look + momentum * v)); look += v;
    [p, k, look, look + momentum * v].forEach((point, i) => paths[i].push(point));
  }
  return paths;
}
function heavy(x, momentum, steps) {
  let p = p0, m = 0;
  const path = [p];
  for (let n = 0; n < steps; n++) { m = momentum * m + x / lr0 * p; p -= lr0 * m; path.push(p); }
  return path;
}
function radius(rule, x, momentum) {
  const keep = rule === "nesterov" ? 1 - x : 1, trace = rule === "nesterov" ? (1 + momentum) * keep : 1 + momentum - x, determinant = momentum * keep;
  const inside = trace * trace / 4 - determinant;
  return inside < 0 ? Math.sqrt(determinant) : Math.abs(trace) / 2 + Math.sqrt(inside);
}
const limit = (rule, momentum) => rule === "nesterov" ? 2 * (1 + momentum) / (1 + 2 * momentum) : 2 * (1 + momentum);
const runs = { heavyball: heavy, nesterov: (x, momentum, steps) => threeWays(x, momentum, steps)[0] };
window.thalweg = { euler, off, height, roll, crossing, leastMomentum, glide, shake, density, temperature, exact, pair, between, threeWays, heavy, radius, limit };

const apart = (one, other) => Math.max(...one.map((p, k) => Math.abs(p - other[k])));
const range = (n, f) => Array.from({ length: n + 1 }, (_, k) => f(k / n));

function descend() {
  const lr = number("flr"), path = euler(lr, time), at = chart(...store.bowlbox), x = lr * curvatures[1];
  tell("flrv", lr.toFixed(3));
  draw("fflow", range(200, share => at(flow(share * time))));
  draw("fsteps", path.map(at));
  byId("fdots").setAttribute("d", spots(path.map(at)));
  const how = x > 2 + 1e-9 ? "diverges" : Math.abs(x - 2) < 1e-9 ? "edge" : x > 1 + 1e-9 ? "over" : "calm";
  tell("fsay", fill(text.say_flow, { x: short(x), n: path.length - 1, how: text["say_" + how], off: short(off(lr, time)), half: short(off(lr / 2, time)) }));
}
turn(["flr"], descend);

function barrier() {
  const lr = 10 ** number("blr"), momentum = number("bm"), steps = store.steps, root = Math.sqrt(lr);
  tell("blrv", short(lr)); tell("bmv", momentum.toFixed(3));
  const ball = roll(lr, momentum, steps), plain = roll(lr, 0, steps), onto = chart(...store.wellbox), over = chart(0, steps, -1.8, 1.8);
  draw("btrail", ball.map(p => onto([p, height("wells", p)])));
  byId("bdots").setAttribute("d", spots(ball.map(p => onto([p, height("wells", p)]))));
  place("bball", onto([ball[steps], height("wells", ball[steps])])); place("bplain", onto([plain[steps], height("wells", plain[steps])]));
  draw("bgd", plain.map((p, k) => over([k, p]))); draw("bheavy", ball.map((p, k) => over([k, p])));
  const smooth = glide(-Math.log(momentum) / root, Math.ceil(steps * root / fine)), every = Math.max(1, Math.floor(smooth.length / 400));
  draw("bflow", smooth.map((p, k) => [k * fine / root, p]).filter(([k], i) => i % every === 0 && k <= steps).map(over));
  const first = crossing(lr, momentum, summit, steps), side = p => p > summit ? text.say_right : text.say_left;
  const told = { momentum: momentum.toFixed(3), first, steps, ball: side(ball[steps]), plain: side(plain[steps]), least: leastMomentum(lr, summit).toFixed(4), flow: Math.exp(-store.friction * root).toFixed(4) };
  tell("bsay", fill(first < 0 ? text.say_stays : text.say_crosses, told));
}
turn(["blr", "bm"], barrier);

function warm() {
  const land = byId("tland").value, lr = 2 ** number("tlr"), batch = 2 ** number("tb"), momentum = number("tm"), variance = store.variance / batch, n = store.long;
  tell("tlrv", `1/${Math.round(1 / lr)}`); tell("tbv", batch); tell("tmv", momentum.toFixed(1));
  const path = shake(land, lr, momentum, Math.sqrt(variance), n), [low, high] = store.range, bins = store.bins, T = temperature(lr, momentum, variance);
  const counts = new Array(bins).fill(0);
  for (const p of path) { const k = Math.floor((p - low) / (high - low) * bins); if (k >= 0 && k < bins) counts[k]++; }
  const shares = counts.map(c => c / path.length), law = density(land, T, low, high, bins), most = 1.05 * Math.max(...shares, ...law), at = chart(low, high, 0, most), wide = (high - low) / bins;
  byId("tbars").setAttribute("d", shares.map((share, k) => { const [a, b] = at([low + k * wide, share]), [c] = at([low + (k + 1) * wide, 0]); return `M${a.toFixed(1)} ${bottom}V${b.toFixed(1)}H${c.toFixed(1)}V${bottom}`; }).join(""));
  draw("tlaw", law.map((w, k) => at([low + (k + 0.5) * wide, w])));
  const square = path.reduce((sum, p) => sum + p * p, 0) / path.length, right = path.filter(p => p > summit).length / path.length;
  const expected = density(land, T, -4, 4, 4000).reduce((sum, w, k) => sum + (-4 + (k + 0.5) / 500 > summit ? w : 0), 0);
  const told = { T: short(T), measured: short(square), exact: short(exact(lr, momentum, variance)), share: (100 * right).toFixed(1), expected: (100 * expected).toFixed(1), n: n.toLocaleString("en") };
  tell("tsay", fill(path.length < n ? text.say_hot : land === "bowl" ? text.say_bowl : right === 0 ? text.say_cold : text.say_wells, told));
  byId("tdouble").disabled = lr * 2 > 2 ** Number(byId("tlr").max) || batch * 2 > 2 ** Number(byId("tb").max);
}
byId("tdouble").addEventListener("click", () => { for (const id of ["tlr", "tb"]) set(id, number(id) + 1); });
turn(["tland", "tlr", "tb", "tm"], warm);

function dial() {
  const ratio = number("lratio"), momentum = number("lm"), batch = 2 ** number("lb"), samples = store.samples, lr = ratio * (1 - momentum) * batch;
  tell("lratiov", ratio.toFixed(3)); tell("lmv", momentum.toFixed(2)); tell("lbv", batch);
  const [single, other] = pair(ratio, momentum, batch, samples), at = chart(0, samples, -0.4, 0.6);
  draw("lone", single.map((p, k) => [k, p]).filter(([k]) => k % 4 === 0).map(at)); draw("ltwo", other.map((p, k) => [k * batch, p]).filter((_, k) => batch >= 4 || k % (4 / batch) === 0).map(at));
  tell("lsay", fill(text.say_law, { lr: short(lr), momentum: momentum.toFixed(2), batch, off: short(between(single, other, batch)), spread: short(Math.sqrt(exact(ratio, 0, 1))), one: short(exact(ratio, 0, 1)), two: short(exact(lr, momentum, 1 / batch)) }));
}
turn(["lratio", "lm", "lb"], dial);

function nesterov() {
  const x = number("nx"), momentum = number("nm"), steps = store.short, at = chart(0, steps, -1.1, 1.1), on = chart(0, 4, 0, 1.4);
  tell("nxv", x.toFixed(2)); tell("nmv", momentum.toFixed(2));
  const [torch, keras, look, ahead] = threeWays(x, momentum, steps), spot = (p, k) => at([k, p]);
  draw("ntorch", torch.map(spot)); draw("nlook", look.map(spot));
  byId("nkeras").setAttribute("d", spots(keras.map(spot))); byId("nahead").setAttribute("d", spots(ahead.map(spot)));
  for (const [id, rule] of [["nheavyball", "heavyball"], ["nnesterov", "nesterov"]]) { draw(id, range(300, share => on([4 * share, Math.min(radius(rule, 4 * share, momentum), 3)]))); place(id + "dot", on([x, radius(rule, x, momentum)])); }
  const size = Math.max(1, ...torch.map(Math.abs));
  tell("nsay", fill(text.say_nesterov, { apart: short(Math.max(apart(torch, keras), apart(torch, ahead)) / size), look: short(apart(torch, look)), nesterov: short(radius("nesterov", x, momentum)), heavy: short(radius("heavyball", x, momentum)) }));
}
turn(["nx", "nm"], nesterov);

const where = chart(0, 4, 0, 1), cells = [192, 80];
function shade(rule) {
  const pieces = store.levels.map(() => "").concat(""), [n, rows] = cells;
  for (let j = 0; j < rows; j++) for (let i = 0, start = 0; i < n; i++) {
    const level = i => { const r = radius(rule, (i + 0.5) * 4 / n, (j + 0.5) / rows), k = store.levels.findIndex(most => r <= most); return k < 0 ? store.levels.length : k; };
    if (i + 1 < n && level(i + 1) === level(i)) continue;
    const [a, b] = where([start * 4 / n, j / rows]), [c, d] = where([(i + 1) * 4 / n, (j + 1) / rows]);
    pieces[level(i)] += `M${a.toFixed(1)} ${b.toFixed(1)}H${c.toFixed(1)}V${d.toFixed(1)}H${a.toFixed(1)}Z`; start = i + 1;
  }
  pieces.forEach((d, k) => byId("level" + k).setAttribute("d", d));
  draw("edge", range(100, share => where([Math.min(limit(rule, share), 4), share])));
}
let shaded = "";
function stand() {
  const rule = byId("mrule").value, x = number("mx"), momentum = number("mm"), steps = store.mapsteps, r = radius(rule, x, momentum);
  if (rule !== shaded) shade(shaded = rule);
  tell("mxv", x.toFixed(2)); tell("mmv", momentum.toFixed(2));
  place("here", where([x, momentum]));
  const at = chart(0, steps, -12, 4), tall = p => Math.log10(Math.abs(p));
  const path = runs[rule](x, momentum, steps), end = path.findIndex(p => Math.abs(p) < 1e-12 || Math.abs(p) > 1e4);
  draw("mrun", path.slice(0, end < 0 ? steps + 1 : end).map((p, k) => at([k, tall(p)])));
  draw("mpace", range(60, share => [share * steps, share * steps * Math.log10(Math.max(r, 1e-9))]).filter(([, h]) => h > -12 && h < 4).map(at));
  tell("msay", fill(r > 1 + 1e-9 ? text.say_grows : r > 1 - 1e-9 ? text.say_stands : text.say_shrinks, { r: r.toFixed(4), limit: limit(rule, momentum).toFixed(4), momentum: momentum.toFixed(2) }));
}
byId("map").addEventListener("click", event => {
  const box = byId("map").getBoundingClientRect(), u = (event.clientX - box.left) / box.width * 480, v = (event.clientY - box.top) / box.height * store.mapheight;
  if (u < left || u > right || v < top0 || v > bottom) return;
  set("mx", (u - left) / (right - left) * 4); set("mm", (bottom - v) / (bottom - top0));
});
turn(["mrule", "mx", "mm"], stand);
follow();
