// Twins of thalweg.optim.gallery.kernel: value, slope, mover, walk, soft, apart and fromFlow. The tests compare the two.
const { starts, alpha, b2, lion, eps, corners, micro, samples } = store;
function value(name, [x, y]) {
  if (name === "wells") return (x * x - 1) * (x * x - 1) / 4 - 0.1 * x + y * y / 2;
  if (name === "valley") return (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x);
  if (name === "bowl") return (x * x + 25 * y * y) / 2;
  return [y, y * y, y * y * y].reduce((sum, z, k) => sum + (corners[k] - x + x * z) * (corners[k] - x + x * z), 0);
}
function slope(name, [x, y]) {
  if (name === "wells") return [x * x * x - x - 0.1, y];
  if (name === "valley") { const off = y - x * x; return [-2 * (1 - x) - 400 * x * off, 200 * off]; }
  if (name === "bowl") return [x, 25 * y];
  let across = 0, along = 0;
  [[y, 1], [y * y, 2 * y], [y * y * y, 3 * y * y]].forEach(([z, dz], k) => {
    const miss = 2 * (corners[k] - x + x * z);
    across += miss * (z - 1); along += miss * x * dz;
  });
  return [across, along];
}
function mover(rule, lr, b) {
  const m = [0, 0], v = [0, 0];
  let c1 = 1, c2 = 1;
  const moved = (k, p, g) => {
    if (rule === "heavyball") { m[k] = b * m[k] + g; return p - lr * m[k]; }
    if (rule === "nesterov") { m[k] = b * m[k] + g; return p - lr * (g + b * m[k]); }
    if (rule === "rmsprop") { v[k] = v[k] + (1 - alpha) * (g * g - v[k]); return p - lr * g / (Math.sqrt(v[k]) + eps); }
    if (rule === "adam") {
      m[k] = m[k] + (1 - b) * (g - m[k]); v[k] = v[k] + (1 - b2) * (g * g - v[k]);
      return p - lr / (1 - c1) * m[k] / (Math.sqrt(v[k] / (1 - c2)) + eps);
    }
    if (rule === "lion") {
      const ahead = m[k] + (1 - b) * (g - m[k]);
      m[k] = m[k] + (1 - lion) * (g - m[k]);
      return p - lr * Math.sign(ahead);
    }
    return p - lr * g;
  };
  return (p, g) => { c1 *= b; c2 *= b2; return [moved(0, p[0], g[0]), moved(1, p[1], g[1])]; };
}
function walk(name, rule, lr, momentum, gradients) {
  let p = starts[name], spent = 0;
  const step = mover(rule, lr, momentum), path = [[...p, value(name, p), 0]];
  while (spent + (rule === "heun" ? 2 : 1) <= gradients) {
    let g = slope(name, p);
    spent++;
    if (rule === "heun") {
      const other = slope(name, [p[0] - lr * g[0], p[1] - lr * g[1]]);
      g = [(g[0] + other[0]) / 2, (g[1] + other[1]) / 2]; spent++;
    }
    p = step(p, g);
    const height = value(name, p);
    if (!(height < 1e9)) break;
    path.push([...p, height, spent]);
  }
  return path;
}
function soft(way, rule, lr, k, updates) {
  const step = mover(rule, lr, 0.9), path = [[0, 0]], sums = way === "big" ? 1 : k, n = way === "big" ? micro * k : micro;
  let p = [0, 0], place = 0;
  for (let u = 0; u < updates; u++) {
    let total = [0, 0], moved = p;
    for (let j = 0; j < sums; j++) {
      let first = 0, second = 0;
      for (let i = 0; i < n; i++) {
        const [a, y] = samples[(place + i) % samples.length], miss = p[0] + p[1] * a - y;
        first += miss; second += miss * a;
      }
      place += n;
      const g = [first / n, second / n];
      if (way === "skip") moved = step(p, g); else total = [total[0] + g[0], total[1] + g[1]];
    }
    p = way === "skip" ? moved : step(p, [total[0] / sums, total[1] / sums]);
    path.push([...p]);
  }
  return path;
}
const apart = (one, other) => Math.max(...one.map((a, k) => Math.hypot(a[0] - other[k][0], a[1] - other[k][1])));
function fromFlow(rule, lr, gradients) {
  const path = walk("bowl", rule, lr, 0, gradients), last = path[path.length - 1], t = lr * last[3] / (rule === "heun" ? 2 : 1);
  return Math.hypot(last[0] - starts.bowl[0] * Math.exp(-t), last[1] - starts.bowl[1] * Math.exp(-25 * t));
}
window.thalweg = { value, slope, walk, soft, apart, fromFlow };

// the powers of ten between which the heights of some paths lie, and the place of a height there
const span = heights => { const seen = heights.filter(h => h > 0), low = Math.max(-12, Math.floor(Math.log10(Math.min(...seen)))); return [low, Math.max(low + 1, Math.min(9, Math.ceil(Math.log10(Math.max(...seen)))))]; };
const spot = (height, spent, most, [low, high]) => [left + spent / most * (right - left), held(bottom - (Math.log10(Math.max(height, 1e-300)) - low) / (high - low) * (bottom - top0), top0, bottom)];

function show() {
  const chosen = store.programs[byId("which").value];
  byId("code").textContent = chosen.code; byId("program").textContent = chosen.program;
}

const gradients = store.gradients;
function race() {
  const name = byId("land").value, rule = byId("rule").value, lr = 10 ** Number(byId("lr").value), momentum = Number(byId("momentum").value);
  tell("lrv", short(lr)); tell("momentumv", momentum.toFixed(2));
  byId("momentum").disabled = ["sgd", "rmsprop", "heun"].includes(rule);
  const [x0, x1, y0, y1] = store.boxes[name], path = walk(name, rule, lr, momentum, gradients);
  const at = ([x, y]) => [held(left + (x - x0) / (x1 - x0) * (right - left), -500, 1000), held(bottom - (y - y0) / (y1 - y0) * (bottom - top0), -500, 1000)];
  for (const path of document.querySelectorAll(".contour")) path.style.display = path.dataset.land === name ? "" : "none";
  draw("path", path.map(at));
  const [sx, sy] = at(path[0]), [ex, ey] = at(path[path.length - 1]), [mx, my] = at(store.minima[name]);
  for (const [id, x, y] of [["begin", sx, sy], ["end", ex, ey], ["least", mx, my]]) { byId(id).setAttribute("cx", x.toFixed(1)); byId(id).setAttribute("cy", y.toFixed(1)); }
  const low = value(name, store.minima[name]);
  const ends = span(path.map(p => p[2] - low));
  powers("lossmarks", ...ends); draw("loss", path.map(p => spot(p[2] - low, p[3], gradients, ends)));
  const last = path[path.length - 1], done = last[3] + 2 > gradients;
  byId("verdict").textContent = fill(done ? text.ended : text.diverged, { gap: short(Math.max(0, last[2] - low)), n: last[3] });
}

function batches() {
  const k = Number(byId("k").value), rule = byId("softrule").value, lr = store.softlr[rule];
  const [big, added, skipped] = ["big", "soft", "skip"].map(way => soft(way, rule, lr, k, store.updates));
  const [x0, x1, y0, y1] = store.softbox;
  const at = ([x, y]) => [held(left + (x - x0) / (x1 - x0) * (right - left), -500, 1000), held(bottom - (y - y0) / (y1 - y0) * (bottom - top0), -500, 1000)];
  draw("big", big.map(at)); draw("skip", skipped.map(at));
  byId("soft").setAttribute("d", added.map(p => { const [x, y] = at(p); return "M" + x.toFixed(1) + " " + y.toFixed(1) + "h0"; }).join(""));
  tell("kv", k);
  byId("softness").textContent = fill(text.softness, { k, soft: short(apart(big, added)), skip: short(apart(big, skipped)) });
}

function heun() {
  const lr = Number(byId("hlr").value), n = store.heun;
  tell("hlrv", lr.toFixed(3));
  const ends = {}, paths = Object.fromEntries(["sgd", "heun"].map(rule => [rule, walk("bowl", rule, lr, 0, n)])), seen = span(Object.values(paths).flat().map(p => p[2]));
  powers("heunmarks", ...seen);
  for (const [rule, path] of Object.entries(paths)) {
    draw("h" + rule, path.map(p => spot(p[2], p[3], n, seen)));
    ends[rule] = [short(path[path.length - 1][2]), short(fromFlow(rule, lr, n))];
  }
  byId("heuns").textContent = fill(text.heuns, { n, euler: ends.sgd[0], heun: ends.heun[0], off: ends.sgd[1], near: ends.heun[1] });
}
turn(["which"], show); turn(["land", "rule", "lr", "momentum"], race); turn(["k", "softrule"], batches); turn(["hlr"], heun);
follow();
