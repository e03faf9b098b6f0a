// What stands around the pictures: captions, the other images of the cluster, what is left.
const STRIP_MOST = 60; // images of a cluster at once
const VERDICT_TEXT = {
  same: "goes", keep_both: "both stay", not_duplicate: "not duplicates", other_shot: "other shot",
};
const LOOK_TEXT = {
  "copy confirmed": "a second look confirms the copy", "other shot": "another shot, by its pixels",
  "cannot tell": "its pixels cannot tell",
};
const ROLE_TEXT = { stays: "stays", open: "to decide" };

function captions(lead, image) {
  byId("one-text").replaceChildren(fileLine(lead), facts(lead, image));
  byId("other-text").replaceChildren(fileLine(image), facts(image, lead), findings(lead, image));
}

function fileLine(image) {
  const kind = role(image), name = image.path.slice(image.folder.length);
  return element("div", { className: "file" },
    element("span", { className: `chip ${kind}`,
      textContent: ROLE_TEXT[kind] ?? VERDICT_TEXT[verdictOf(image)] }),
    element("span", { title: printable(image.path) },
      element("i", { textContent: shortened(printable(image.folder)) }),
      element("b", { textContent: printable(name) })));
}

// A long folder without its middle: what tells two of them apart is at their ends.
const shortened = (folder) => folder.length <= 50 ? folder : `${folder.slice(0, 22)}…${folder.slice(-27)}`;

const fact = (text, className = "") => element("span", { textContent: text, className });
const more = (mine, theirs) => mine > theirs ? "more" : "";

function facts(image, other) {
  const pixels = image.width * image.height, line = element("div", { className: "facts" });
  if (pixels) line.append(fact(`${image.width} × ${image.height} px`,
    more(pixels, other.width * other.height)));
  line.append(fact(bytesText(image.bytes), more(image.bytes, other.bytes)));
  if (image.format) line.append(fact(image.format));
  if (image.time) line.append(fact(new Date(image.time).toISOString().slice(0, 10)));
  return line;
}

function findings(lead, image) {
  const line = element("div", { className: "facts" }), similarity = similarityOf(image, lead);
  line.append(fact(similarity === null ? "not compared with the left one"
    : `similarity ${similarity.toFixed(3)}`));
  if (image.band) line.append(fact(image.band));
  const why = [lookText(image), image.reason, image.explanation];
  for (const text of (lead.number === image.group ? why : []).filter(Boolean)) line.append(fact(printable(text), "why"));
  return line;
}

// What a second look said, unless the reason does.
const lookText = ({ verdict, reason }) =>
  verdict === "copy confirmed" || !reason ? LOOK_TEXT[verdict] : "";

function strip(image) {
  const cluster = clusters[image.cluster], members = membersOf(cluster), list = byId("strip");
  list.hidden = cluster.size < 3;
  if (list.hidden) return;
  const at = members.indexOf(image), start = Math.max(0, Math.min(at - STRIP_MOST / 2, members.length - STRIP_MOST));
  const shown = members.slice(start, start + STRIP_MOST);
  list.replaceChildren(...shown.map((member) => element("li", {}, stripButton(member, image))));
  if (members.length > shown.length) list.append(element("li", { className: "rest",
    textContent: `${numberText(members.length - shown.length)} more` }));
  list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function stripButton(member, image) {
  const { src } = pictureOf(member), kind = role(member), candidate = isCandidate(member);
  const button = element("button", { type: "button", className: kind, disabled: !candidate,
    title: printable(member.path), onclick: () => goTo(member.number) });
  button.setAttribute("aria-label", `${ROLE_TEXT[kind] ?? VERDICT_TEXT[verdictOf(member)]}: ${printable(member.path)}`);
  if (member === image) button.setAttribute("aria-current", "true");
  if (src) button.append(element("img", { src, alt: "", loading: "lazy", decoding: "async" }));
  const text = candidate ? similarityOf(member, leadOf(member))?.toFixed(2) ?? "" : "stays";
  button.append(element("small", { textContent: text }));
  return button;
}

// How many pairs, decided ones, and bytes that go.
function tally() {
  const counts = { pairs: 0, decided: 0, bytes: 0 };
  for (const image of images) {
    if (!isCandidate(image)) continue;
    counts.pairs++;
    const verdict = verdictOf(image);
    if (!verdict) continue;
    counts.decided++;
    counts[verdict] = (counts[verdict] ?? 0) + 1;
    if (verdict === "same") counts.bytes += image.bytes;
  }
  return counts;
}

function progress() {
  const counts = tally(), left = counts.pairs - counts.decided;
  Object.assign(byId("bar"), { max: counts.pairs || 1, value: counts.decided });
  byId("left").textContent = `${numberText(left)} of ${counted(counts.pairs, "pair")} left`
    + (counts.bytes ? ` · ${bytesText(counts.bytes)} to free` : "");
  return counts;
}

function showEnd(counts) {
  const left = counts.pairs - counts.decided;
  byId("end-title").textContent = !counts.pairs ? "There is nothing to decide: no copies were found."
    : left ? "Nothing more in this filter." : "All pairs are decided.";
  byId("tally").replaceChildren(...Object.entries(VERDICT_TEXT).filter(([verdict]) => counts[verdict])
    .map(([verdict, text]) => rowOf(text, numberCell(counts[verdict]),
      verdict === "same" ? bytesText(counts.bytes) : "")));
  byId("end-next").replaceChildren(...(counts.decided ? nextStep() : []));
}

const nextStep = () => [header.serve ? "Written to " : "Save, and then see what would happen: ",
  element("code", { textContent: header.serve ? printable(header.serve)
    : "sscd apply REPORT --decisions decisions.jsonl" })];

const rowOf = (...cells) => element("tr", {}, ...cells.map((cell) =>
  cell instanceof HTMLTableCellElement ? cell : element("td", {}, cell)));
const numberCell = (count) => element("td", { className: "number", textContent: numberText(count) });

// The pairs that are still to decide, by what `key` says of their copies, the most first.
function openBy(key) {
  const groups = new Map();
  for (const number of numbersIn("open")) {
    const name = key(images[number]);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(number);
  }
  return [...groups].sort(([, one], [, other]) => other.length - one.length);
}

function showBulk() {
  const filters = [byId("band").value && `“${byId("band").value}”`,
    byId("find").value && `path holds “${byId("find").value}”`].filter(Boolean);
  byId("bulk-filter").textContent = filters.length ? `(${filters.join(", ")})` : "(all)";
  byId("bulk-none").hidden = numbersIn("open").length > 0;
  byId("bulk-bands").replaceChildren(...bulkRows(openBy((image) => image.band || "no band")));
  byId("bulk-folders").replaceChildren(...bulkRows(openBy((image) => image.folder || "./")));
  if (!byId("bulk").open) byId("bulk").showModal();
  // the button that was pressed has gone
  if (document.activeElement === document.body)
    byId("bulk").querySelector(numbersIn("open").length ? "td button" : "button").focus();
}

const FOLDERS_MOST = 200;
const bulkRows = (groups) => groups.slice(0, FOLDERS_MOST).map(([name, numbers]) => {
  const acts = element("td", { className: "acts" });
  for (const [verdict, text] of [["same", "Remove"], ["keep_both", "Keep both"], ["not_duplicate", "Not duplicates"]])
    acts.append(" ", element("button", { type: "button", onclick: () => decideMany(numbers, verdict),
      textContent: text, ariaLabel: `${text}: ${counted(numbers.length, "pair")} of ${printable(name)}` }));
  return rowOf(printable(name), numberCell(numbers.length), acts);
});

function about() {
  const told = {
    Dataset: header.dataset, Against: header.against, Model: header.model,
    Threshold: header.threshold && `${header.threshold} (${header.scale})`,
    Command: header.command, Made: header.version && `by sscd ${header.version}`,
    Paths: header.folder && `relative to ${header.folder}`,
    Images: header.images && numberText(header.images), Clusters: numberText(clusters.length),
  };
  byId("about").replaceChildren(...Object.entries(told).filter(([, text]) => text).flatMap(
    ([name, text]) => [element("dt", { textContent: name }), element("dd", { textContent: printable(text) })]));
}
