// What the report says: images, numbered through, each with its cluster and its group, which is
// the number of the image that stays for it, or beside which it is to be looked at.
const [header, ...clusters] = JSON.parse(document.getElementById("report").textContent);
const digest = clusters.pop();
const images = [];
const FIELDS = ["path", "group", "similarity", "width", "height", "bytes", "format", "time", "hash",
  "pixels", "band", "verdict", "reason", "explanation", "fixed", "linked", "said", "stays"];

clusters.forEach(([name, link, rows], cluster) => {
  const first = images.length;
  for (const row of rows) {
    const image = { number: images.length, cluster };
    FIELDS.forEach((field, place) => { image[field] = row[place]; });
    image.group += first;
    image.folder = image.path.slice(0, image.path.lastIndexOf("/") + 1);
    images.push(image);
  }
  clusters[cluster] = { name, link, first, size: rows.length };
});

const byId = (id) => document.getElementById(id);
const membersOf = ({ first, size }) => images.slice(first, first + size);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// A name as one line: what is no text in it is escaped.
function printable(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, escapeSign)
    .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, escapeSign);
}

function escapeSign(sign) {
  const code = sign.charCodeAt(0);
  if (sign === "\n") return "\\n";
  return code >= 0xdc80 && code <= 0xdcff ? "\\x" + (code & 0xff).toString(16)
    : "\\u" + code.toString(16).padStart(4, "0");
}

// The address of a file; a byte that is no UTF-8 is a lone surrogate in the report.
function address(image) {
  let path = "";
  for (const sign of image.path) {
    const code = sign.codePointAt(0);
    const lone = code >= 0xd800 && code <= 0xdfff;
    path += sign === "/" ? sign
      : lone ? "%" + (code & 0xff).toString(16).padStart(2, "0") : encodeURIComponent(sign);
  }
  // two slashes would name another machine
  if (path.startsWith("/")) return "file://" + path.replace(/^\/+/, "/");
  return (base.value.replace(/\/*$/, "/") || "./") + path;
}

// Where a picture is to be had: { src } or { reason } why not.
function pictureOf(image) {
  if (header.serve) return { src: `preview/${image.number}` };
  const block = byId("p" + image.number);
  if (block?.dataset.reason) return { reason: block.dataset.reason };
  if (block) return { src: "data:image/jpeg;base64," + block.content.textContent };
  if (image.linked) return { src: address(image) };
  return { reason: "not a file of its own, and no preview of it is in this page; "
    + "sscd review --serve shows it" };
}

// The same with all pixels, for looking closer.
function fullPictureOf(image) {
  if (header.serve) return `preview/${image.number}?full`;
  return image.linked ? address(image) : null;
}

function bytesText(count) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (count < 999.5) return `${count < 9.95 && unit !== "B" ? count.toFixed(1) : Math.round(count)} ${unit}`;
    count /= 1000;
  }
  return `${count.toFixed(1)} TB`;
}

const numberText = (count) => count.toLocaleString("en");
const counted = (count, thing) => `${numberText(count)} ${thing}${count === 1 ? "" : "s"}`;
