// Two texts, word by word (Myers' algorithm on tokens), or line by line where they differ much.

/** Edits looked at; texts further apart are not compared, which would freeze the page. */
const MOST_EDITS = 1500;

/** Pieces `{kind: "same" | "gone" | "new", text}`, or null where the texts are too far apart. */
export function diff(before, after) {
  const words = /\s+|[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu;
  const lines = /[^\n]*\n|[^\n]+/g;
  return edits(before.match(words) ?? [], after.match(words) ?? []) ?? edits(before.match(lines) ?? [], after.match(lines) ?? []);
}

/** What is compared of a piece: how wide a space is depends on the engine. */
const key = (piece) => piece.replace(/[^\S\n]+/g, " ").replace(/ ?\n ?/g, "\n");

function edits(a, b) {
  const [left, right] = [a.map(key), b.map(key)];
  const trace = [];
  let front = new Map([[1, 0]]);
  for (let count = 0; count <= Math.min(a.length + b.length, MOST_EDITS); count += 1) {
    trace.push(new Map(front));
    for (let k = -count; k <= count; k += 2) {
      let x = k === -count || (k !== count && (front.get(k - 1) ?? -1) < (front.get(k + 1) ?? -1)) ? front.get(k + 1) : front.get(k - 1) + 1;
      while (x < a.length && x - k < b.length && left[x] === right[x - k]) x += 1;
      front.set(k, x);
      if (x >= a.length && x - k >= b.length) return joined(back(trace, a, b));
    }
  }
  return null;
}

function back(trace, a, b) {
  const found = [];
  let x = a.length;
  let y = b.length;
  for (let edits = trace.length - 1; edits >= 0; edits -= 1) {
    const front = trace[edits];
    const k = x - y;
    const before = k === -edits || (k !== edits && (front.get(k - 1) ?? -1) < (front.get(k + 1) ?? -1)) ? k + 1 : k - 1;
    const fromX = front.get(before);
    const fromY = fromX - before;
    while (x > fromX && y > fromY && x > 0 && y > 0) { found.push({ kind: "same", text: a[x - 1] }); x -= 1; y -= 1; }
    if (edits === 0) break;
    if (x === fromX) found.push({ kind: "new", text: b[y - 1] }); else found.push({ kind: "gone", text: a[x - 1] });
    x = fromX;
    y = fromY;
  }
  return found.reverse();
}

function joined(pieces) {
  const found = [];
  for (const piece of pieces) {
    if (found.at(-1)?.kind === piece.kind) found.at(-1).text += piece.text;
    else found.push({ ...piece });
  }
  return found;
}
