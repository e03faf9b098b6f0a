// What was decided: a verdict of an image and the one that stays for it, and in each group, by
// its number, which image stays if it is another than the report says. Every change can be taken
// back. Verdicts are those of decisions.jsonl.
const verdicts = new Map(); // number -> { verdict, at: seconds }
const leads = new Map(); // group -> number
const past = []; // changes, the newest last
const written = new Map(); // number -> its line in the file of decisions
const STORED = `sscd-review:${digest}`;
const DEEPEST = 100; // of groups within groups
let storage = null;

// What stays for an image as things stand now; itself if nothing does. The image that stays for
// a group may be a copy in another: what goes for it goes for what stays there once it goes itself.
function leadOf(image, depth = 0) {
  const instead = leads.get(image.number) ?? image.number;
  if (instead !== image.number) return resolved(images[instead], depth);
  const lead = leads.get(image.group) ?? image.group;
  if (lead !== image.number) return resolved(images[lead], depth);
  const { group } = images[image.group];
  return group === image.group ? image : resolved(images[leads.get(group) ?? group], depth);
}

function resolved(lead, depth) {
  if (verdictOf(lead) !== "same" || depth > DEEPEST) return lead;
  return leadOf(lead, depth + 1);
}

// The group, by its number, for which an image stays.
function standsFor(lead) {
  const isLead = (group) => (leads.get(group) ?? group) === lead.number;
  let group = isLead(lead.group) ? lead.group : lead.number;
  while (images[group].group !== group && isLead(images[group].group)) group = images[group].group;
  return group;
}

const isCandidate = (image) => leadOf(image) !== image;
const verdictOf = (image) => verdicts.get(image.number)?.verdict;

function role(image) {
  if (!isCandidate(image)) return "stays";
  const verdict = verdictOf(image);
  return verdict === "same" ? "goes" : verdict ? "both" : "open";
}

// Set verdicts (null: none) and what stays; returns what takes it back.
function apply({ set, stay = [] }) {
  const back = {
    set: set.map(([number]) => [number, verdicts.get(number) ?? null]),
    stay: stay.map(([group]) => [group, leads.get(group) ?? group]),
  };
  for (const [group, number] of stay) leads.set(group, number);
  for (const [number, verdict] of set) {
    if (verdict === null) verdicts.delete(number);
    else verdicts.set(number, typeof verdict === "string" ? { verdict, at: seconds() } : verdict);
  }
  return back;
}

const seconds = () => Math.floor(Date.now() / 1000);

function change(what, at) {
  past.push({ ...apply(what), at });
  changed(what);
}

function takeBack() {
  const last = past.pop();
  if (last) {
    apply(last);
    changed(last);
  }
  return last;
}

// The image stays and what stayed for it goes.
const insteadOf = (image) => ({
  set: [[leadOf(image).number, "same"], [image.number, null]],
  stay: [[standsFor(leadOf(image)), image.number]],
});

function changed({ set, stay = [] }) {
  if (!header.serve) {
    saveSoon();
    return;
  }
  const numbers = new Set([...set, ...stay].map(([number]) => images[number].cluster));
  const touched = [...numbers].flatMap((number) => membersOf(clusters[number]));
  const lines = unwritten(touched);
  for (const image of touched) noteWritten(image);
  send(lines);
}

// The line of decisions.jsonl that says what was decided of an image, if anything.
function lineOf(image) {
  const decided = verdicts.get(image.number);
  if (!decided || !isCandidate(image)) return null;
  const lead = leadOf(image);
  const [left, right] = image.hash < lead.hash ? [image, lead] : [lead, image];
  const same = decided.verdict === "same";
  return {
    left: left.hash, right: right.hash, left_pixels: left.pixels, right_pixels: right.pixels,
    verdict: decided.verdict, keeper: same ? lead.hash : null,
    similarity: similarityOf(image, lead), model: header.model ?? "", who: who.value.trim(),
    when: timeText(decided.at), note: "",
  };
}

// Known of an image and what stays for it in the report; null of other pairs.
const similarityOf = (image, lead) => lead.number === image.group ? image.similarity
  : image.number === lead.group ? lead.similarity : null;

const timeText = (at) => new Date(at * 1000).toISOString().slice(0, 19) + "Z";

// What is to be added to the file: what was taken back, and what is decided now.
function unwritten(some = images) {
  const revoked = [], decided = [];
  for (const image of some) {
    const line = lineOf(image), before = written.get(image.number);
    if (line && !isSame(before, line)) decided.push(line);
    if (before && !isSamePair(before, line)) revoked.push({
      ...before, verdict: "revoked", keeper: null, who: who.value.trim(), when: timeText(seconds()),
    });
  }
  return [...revoked, ...decided];
}

const isSamePair = (one, other) => one && other && one.left === other.left && one.right === other.right;
const isSame = (one, other) =>
  isSamePair(one, other) && one.verdict === other.verdict && one.keeper === other.keeper;

function noteWritten(image) {
  const line = lineOf(image);
  if (line) written.set(image.number, line);
  else written.delete(image.number);
}

// Begin with what the file of decisions says, and with what this browser remembers.
function loadGiven() {
  const said = images.filter((image) => image.said);
  for (const image of said) {
    verdicts.set(image.number, { verdict: image.said, at: 0 });
    const isKeeper = image.stays === image.hash && image.hash !== images[image.group].hash;
    if (image.said === "same" && isKeeper && isCandidate(image)) apply(insteadOf(image));
  }
  for (const image of images) noteWritten(image);
}

function loadStored() {
  try {
    storage = window.localStorage;
    const stored = JSON.parse(storage.getItem(STORED));
    if (!stored) return null;
    if (!header.serve) {
      verdicts.clear();
      for (const [number, verdict, at] of stored.verdicts) verdicts.set(number, { verdict, at });
      for (const [group, number] of stored.leads) leads.set(group, number);
    }
    who.value = stored.who || who.value;
    base.value = stored.base || base.value;
    return stored.at;
  } catch {
    return null;
  }
}

let saving = 0;
function saveSoon() {
  clearTimeout(saving);
  saving = setTimeout(store, 300);
}

function store() {
  clearTimeout(saving);
  const kept = header.serve ? {} : {
    verdicts: [...verdicts].map(([number, { verdict, at }]) => [number, verdict, at]),
    leads: [...leads],
  };
  const state = { ...kept, at: current()?.number ?? null, who: who.value, base: base.value };
  try {
    storage.setItem(STORED, JSON.stringify(state));
  } catch {
    trouble("This browser keeps nothing of this page: save before you close it.");
  }
}

// With --serve each change is written at once; what fails is sent again with the next.
const AT_ONCE = 5000; // lines
const unsent = [];
let sending = null;
function send(lines) {
  unsent.push(...lines);
  sending ??= flush().finally(() => { sending = null; });
  return sending;
}

async function flush() {
  while (unsent.length) {
    const lines = unsent.slice(0, AT_ONCE);
    try {
      const answer = await fetch("decisions", { method: "POST", body: JSON.stringify(lines) });
      if (!answer.ok) throw new Error(await answer.text());
    } catch (error) {
      trouble(`Not written yet: ${error.message}; the next key tries again.`);
      return;
    }
    unsent.splice(0, lines.length);
    trouble("");
  }
}
