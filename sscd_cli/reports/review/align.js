// How a copy lies on the picture that it was made from: found by trying turns, sizes and places
// on small grey pictures, as u = t + s · D(v) between the unit squares of the two.
const TURNS = [
  { name: "", d: [1, 0, 0, 1] }, { name: "mirrored", d: [-1, 0, 0, 1] },
  { name: "turned upside down", d: [-1, 0, 0, -1] },
  { name: "mirrored top to bottom", d: [1, 0, 0, -1] },
  { name: "turned by a quarter", d: [0, -1, 1, 0] }, { name: "turned by a quarter", d: [0, 1, -1, 0] },
  { name: "mirrored and turned", d: [0, 1, 1, 0] }, { name: "mirrored and turned", d: [0, -1, -1, 0] },
];
const STRETCHED = { turn: TURNS[0], sx: 1, sy: 1, tx: 0, ty: 0, score: 0 };
const NOT_FOUND = { ...STRETCHED };
const GOOD = 0.98;
// for whole pictures as they are; a small part, or one of eight turns, fits fairly in any picture
const FAIR = 0.6, FAIR_TURNED = 0.75, FAIR_PART = 0.9;
const CLEARLY = 0.01; // better than the whole one over the other

// The grey values of a loaded image at side × side, or null where a browser lets no page read it.
function greyOf(picture, side) {
  const canvas = element("canvas", { width: side, height: side });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, side, side);
  try {
    const { data } = context.getImageData(0, 0, side, side);
    return { side, values: Float32Array.from({ length: side * side },
      (_, place) => 0.3 * data[4 * place] + 0.59 * data[4 * place + 1] + 0.11 * data[4 * place + 2]) };
  } catch {
    return null;
  }
}

// The correlation of two grey pictures where one lies so on the other; -1 where it hardly does.
function correlation(keeper, copy, { turn: { d }, sx, sy, tx, ty }) {
  let n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0;
  const { side, values } = keeper;
  for (let row = 0; row < side; row++) {
    const y = ((row + 0.5) / side - ty) / sy - 0.5;
    if (y <= -0.5 || y >= 0.5) continue;
    for (let column = 0; column < side; column++) {
      const x = ((column + 0.5) / side - tx) / sx - 0.5;
      if (x <= -0.5 || x >= 0.5) continue;
      const across = Math.floor((d[0] * x + d[2] * y + 0.5) * copy.side);
      const down = Math.floor((d[1] * x + d[3] * y + 0.5) * copy.side);
      const one = values[row * side + column], other = copy.values[down * copy.side + across];
      n++; a += one; b += other; aa += one * one; bb += other * other; ab += one * other;
    }
  }
  if (n < 0.15 * side * side) return -1;
  const spread = Math.sqrt((aa - a * a / n) * (bb - b * b / n));
  return spread > 0 ? ((ab - a * b / n) / spread) * (0.9 + 0.1 * n / (side * side)) : -1;
}

// shape: width / height of each.
function align(one, other, shapeOne, shapeOther) {
  // three samples of the copy to one of the keeper: the middle one has the same centre
  const [keeper, copy, fineKeeper, fineCopy] = [greyOf(one, 24), greyOf(other, 72),
    greyOf(one, 64), greyOf(other, 192)];
  if (!keeper || !copy) return null;
  const stretched = { ...STRETCHED, score: correlation(keeper, copy, STRETCHED) };
  if (stretched.score > GOOD) return stretched;
  let best = [stretched];
  for (const turn of TURNS) {
    const shape = turn.d[0] ? shapeOther : 1 / shapeOther;
    best.push(...placings(keeper, copy, turn, shape / shapeOne));
    best = best.sort((x, y) => y.score - x.score).slice(0, 3);
    if (best[0].score > GOOD) break;
  }
  best = best.map((start) => refined(fineKeeper, fineCopy, start)).sort((x, y) => y.score - x.score);
  const whole = tried(fineKeeper, fineCopy, { ...STRETCHED, turn: best[0].turn });
  const found = best[0].score > whole.score + CLEARLY ? best[0] : whole;
  const fair = found.turn.name ? FAIR_TURNED : FAIR;
  return found.score < FAIR_PART - (FAIR_PART - fair) * covered(found) ? NOT_FOUND : found;
}

// How much of the left picture the right one lies on, of 1.
const covered = ({ sx, sy }) => Math.min(1, sx) * Math.min(1, sy);

// The best place of each size, the whole picture stretched over the other among them.
function placings(keeper, copy, turn, ratio) {
  const found = [tried(keeper, copy, { turn, sx: 1, sy: 1, tx: 0, ty: 0 })];
  for (let size = 0.4; size < 2.6; size *= 1.12) {
    const sx = size * Math.min(1, ratio), sy = size * Math.min(1, 1 / ratio);
    let best = { score: -1 };
    for (const tx of places(sx)) for (const ty of places(sy)) {
      const next = tried(keeper, copy, { turn, sx, sy, tx, ty });
      if (next.score > best.score) best = next;
    }
    found.push(best);
  }
  return found.filter((placing) => placing.score > 0);
}

const tried = (keeper, copy, placing) => ({ ...placing, score: correlation(keeper, copy, placing) });

function places(scale) {
  const room = 1 - scale, steps = Math.max(1, Math.ceil(Math.abs(room) / 0.07));
  return Array.from({ length: steps + 1 }, (_, step) => room * step / steps);
}

// The start moved until nothing near is better: as it is, and stretched if that is clearly better.
function refined(keeper, copy, start) {
  const even = climbed(keeper, copy, start, movedEvenly);
  const free = climbed(keeper, copy, even, movedFreely);
  return free.score > even.score + CLEARLY ? free : even;
}

function climbed(keeper, copy, start, moved) {
  let best = tried(keeper, copy, start);
  for (let step = 0.04; step > 0.001; step /= 2) {
    for (let again = true, rounds = 0; again && rounds < 6; rounds++) {
      again = false;
      for (const next of [-step, step].flatMap((by) => moved(best, by))) {
        const placing = tried(keeper, copy, next);
        if (placing.score > best.score) [best, again] = [placing, true];
      }
    }
  }
  return best;
}

const movedEvenly = (at, by) => [
  { ...at, tx: at.tx + by }, { ...at, ty: at.ty + by }, // and larger about the middle
  { ...at, sx: at.sx * (1 + by), sy: at.sy * (1 + by), tx: at.tx - at.sx * by / 2, ty: at.ty - at.sy * by / 2 },
];
const movedFreely = (at, by) => [
  { ...at, tx: at.tx + by }, { ...at, ty: at.ty + by },
  { ...at, sx: at.sx + by }, { ...at, sy: at.sy + by },
  { ...at, tx: at.tx + by, sx: at.sx - by }, { ...at, ty: at.ty + by, sy: at.sy - by },
];

function alignmentText(placing) {
  if (placing === null) return "stretched over each other: this browser lets no page read files";
  if (placing === NOT_FOUND) return "stretched over each other: no alignment found";
  const share = covered(placing);
  const part = share < 0.97 ? `covers ${Math.round(100 * share)} % of the left one` : "";
  return ["aligned", placing.turn.name, part].filter(Boolean).join(", ");
}
