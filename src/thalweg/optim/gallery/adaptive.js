// Twins of thalweg.optim.gallery.adaptive_kernel. The tests compare the two.
const { start, end, along0, across0, first, far, steep } = store;
const flow = (p, time) => p / Math.sqrt(1 + 2 * p * p * time);
function paced(way, lr, alpha, steps) {
  let p = start, v = p * p * p * (p * p * p);
  const path = [];
  for (let k = 0; k < steps; k++) {
    const g = p * p * p;
    v = alpha * v + (1 - alpha) * (g * g);
    const rate = way === "fixed" ? lr : lr / Math.sqrt(v), after = p - rate * g;
    path.push([p, rate, Math.abs(after - flow(p, rate))]);
    p = after;
    if (!(end < p && p < 10)) break;
  }
  return path;
}
function tilted(way, curvature, angle, lr, steps) {
  const c = Math.cos(angle), s = Math.sin(angle), path = [];
  let x = c * along0 - s * across0, y = s * along0 + c * across0, gx = 0, gy = 0;
  for (let k = 0; ; k++) {
    const along = c * x + s * y, across = c * y - s * x;
    path.push([x, y, (along * along + curvature * across * across) / 2]);
    if (k === steps) return path;
    const a = c * along - s * curvature * across, b = s * along + c * curvature * across;
    if (way === "vector") { gx += a * a; gy += b * b; } else { gx = gx + a * a + b * b; gy = gy + a * a + b * b; }
    if (gx > 0) x -= lr * a / Math.sqrt(gx);
    if (gy > 0) y -= lr * b / Math.sqrt(gy);
  }
}
const arrival = path => path.findIndex(point => point[2] <= path[0][2] / 1000);
function circle(lr, alpha, steps) {
  let p = first, v = first * first;
  const path = [p];
  for (let k = 0; k < steps; k++) { v = alpha * v + (1 - alpha) * (p * p); if (v > 0) p -= lr * (p / Math.sqrt(v)); path.push(p); }
  return path;
}
const swing = (path, last) => (Math.max(...path.slice(-last)) - Math.min(...path.slice(-last))) / 2;
const slope = (wall, p) => p / Math.sqrt(1 + p * p) - wall * Math.exp(-steep * (p - far));
function valley(way, lr, wall, alpha, steps) {
  let p = far, total = 0, v = slope(wall, p) * slope(wall, p);
  const path = [];
  for (let k = 0; k <= steps; k++) {
    const g = slope(wall, p);
    total += g * g; v = alpha * v + (1 - alpha) * (g * g);
    const under = way === "adagrad" ? total : v, rate = under > 0 ? lr / Math.sqrt(under) : 0;
    path.push([p, rate]);
    p -= rate * g;
  }
  return path;
}
window.thalweg = { flow, paced, tilted, arrival, circle, swing, slope, valley };

const spread = path => { const errors = path.map(p => p[2]); return { most: Math.max(...errors), least: Math.min(...errors) }; };

function gauge() {
  const lr = number("glr"), length = number("glength"), alpha = number("galpha"), n = store.most;
  tell("glrv", lr.toFixed(3)); tell("glengthv", length.toFixed(2)); tell("galphav", alpha.toFixed(2));
  const fixed = paced("fixed", lr, 0, n), adaptive = paced("adaptive", length, alpha, n), longest = Math.max(fixed.length, adaptive.length, 20);
  const down = chart(0, longest, 0, 3.2), over = chart(start, end, -6, 0), error = ([p, , e]) => over([p, Math.max(Math.log10(Math.max(e, 1e-300)), -6)]);
  for (const [name, path] of [["fixed", fixed], ["adaptive", adaptive]]) {
    draw(`g${name}`, path.map(([p], k) => down([k, p]))); draw(`e${name}`, path.map(error));
    byId(`e${name}dots`).setAttribute("d", spots(path.map(error)));
  }
  tell("glongest", longest);
  const [a, b] = [spread(fixed), spread(adaptive)];
  tell("gsay", fill(text.say_gauge, { n: fixed.length, most: short(a.most), least: short(a.least), times: short(a.most / a.least), m: adaptive.length, upper: short(b.most), lower: short(b.least), ratio: short(b.most / b.least) }) + (alpha === 0 ? text.say_sign : ""));
}
turn(["glr", "glength", "galpha"], gauge);

function bowl() {
  const curvature = 10 ** number("vk"), degrees = number("va"), lr = number("vlr"), angle = -degrees * Math.PI / 180, n = store.steps;
  tell("vkv", short(curvature)); tell("vav", `${degrees}°`); tell("vlrv", lr.toFixed(2));
  const at = chart(...store.box), c = Math.cos(angle), s = Math.sin(angle), rings = [];
  for (const share of [1, 0.3, 0.1, 0.03, 0.01, 0.002]) {
    const level = Math.sqrt(share * (along0 * along0 + curvature * across0 * across0));
    rings.push(line(Array.from({ length: 121 }, (_, k) => { const a = level * Math.cos(k * Math.PI / 60), b = level / Math.sqrt(curvature) * Math.sin(k * Math.PI / 60); return at([c * a - s * b, s * a + c * b]); })));
  }
  byId("vrings").setAttribute("d", rings.join(""));
  const down = chart(0, n, -6, 0), told = { curvature: short(curvature), degrees };
  for (const way of ["scalar", "vector"]) {
    const path = tilted(way, curvature, angle, lr, store.long), reached = arrival(path), shown = path.slice(0, n + 1);
    draw(`v${way}`, shown.map(at));
    byId(`v${way}dots`).setAttribute("d", spots(shown.map(at)));
    draw(`l${way}`, shown.map((p, k) => [k, Math.log10(Math.max(p[2] / path[0][2], 1e-300))]).filter(([, h]) => h > -6).map(down));
    told[way] = reached < 0 ? fill(text.say_later, { n: store.long.toLocaleString("en") }) : fill(text.say_steps, { n: reached.toLocaleString("en") });
  }
  tell("vsay", fill(text.say_bowl, told));
}
turn(["vk", "va", "vlr"], bowl);

function around() {
  const lr = number("clr"), alpha = number("calpha"), n = store.circles, path = circle(lr, alpha, n), at = chart(0, n, -1.6, 1.6);
  tell("clrv", lr.toFixed(2)); tell("calphav", alpha.toFixed(2));
  draw("cpath", path.map((p, k) => at([k, p])));
  for (const [id, height] of [["cup", lr / 2], ["cdown", -lr / 2]]) draw(id, [[0, height], [n, height]].map(at));
  const last = path.slice(-20);
  tell("csay", fill(text.say_circle, { low: short(Math.min(...last)), high: short(Math.max(...last)), swing: short(swing(path, 20)), half: short(lr / 2) }));
}
turn(["clr", "calpha"], around);

function early() {
  const lr = number("wlr"), wall = number("ww"), alpha = number("walpha"), n = store.walks, at = chart(0, n, -8.5, 1), high = chart(0, n, -4, 2);
  tell("wlrv", lr.toFixed(2)); tell("wwv", wall); tell("walphav", alpha.toFixed(2));
  const ends = {};
  for (const way of ["adagrad", "rmsprop"]) {
    const path = valley(way, lr, wall, alpha, n);
    draw(`p${way}`, path.map(([p], k) => at([k, p]))); draw(`r${way}`, path.map(([, rate], k) => high([k, held(Math.log10(Math.max(rate, 1e-300)), -4, 2)])));
    ends[way] = path[n];
    ends[way + "swing"] = swing(path.map(p => p[0]), 20);
  }
  tell("wsay", fill(text.say_valley, { n: n.toLocaleString("en"), adagrad: short(Math.abs(ends.adagrad[0])), rate: short(ends.adagrad[1]), bound: short(lr / Math.abs(slope(wall, far))), rmsprop: short(Math.abs(ends.rmsprop[0])), swing: short(ends.rmspropswing) }));
}
turn(["wlr", "ww", "walpha"], early);
follow();
