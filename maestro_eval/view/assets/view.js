// Keyboard, copying, zoom, and following a run that goes on. Every page can be read without it.
"use strict";

const rows = () => [...document.querySelectorAll("[data-rows] tbody tr")];
let row = -1;

function choose(number) {
  const all = rows();
  if (!all.length) return;
  row = Math.max(0, Math.min(number, all.length - 1));
  all.forEach((each, place) => (place === row ? each.setAttribute("aria-selected", "true") : each.removeAttribute("aria-selected")));
  all[row].scrollIntoView({ block: "nearest" });
  all[row].querySelector("th a").focus({ preventScroll: true });
}

function follow(relation) {
  const link = document.querySelector(`a[rel="${relation}"]`);
  if (link) location.href = link.href;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const forward = event.key === "j" || event.key === "ArrowRight" || event.key === "ArrowDown";
  const back = event.key === "k" || event.key === "ArrowLeft" || event.key === "ArrowUp";
  const sideways = event.key === "ArrowRight" || event.key === "ArrowLeft";
  const vertical = event.key === "ArrowDown" || event.key === "ArrowUp";
  // A box that scrolls by itself keeps its arrows.
  if ((sideways || vertical) && event.target.closest("[tabindex]")) return;
  if (forward || back) {
    if (rows().length && !sideways) choose(row + (forward ? 1 : -1));
    else if (!vertical) follow(forward ? "next" : "prev");
    else return;
    event.preventDefault();
  } else if (event.key === "/") {
    const search = document.querySelector("[data-search]");
    if (search) { search.focus(); search.select(); event.preventDefault(); }
  } else if (event.key === "u") follow("up");
});

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(copy.parentElement.querySelector("pre").textContent);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    return;
  }
  const frame = event.target.closest("[data-zoom]");
  if (frame && frame.querySelector("img")) zoom(frame, event);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("[data-zoom]")) zoom(event.target);
});

// The picture at its own size, the place that was clicked in the middle.
function zoom(frame, event) {
  const image = frame.querySelector("img");
  const box = image.getBoundingClientRect();
  const at = event ? [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height] : [0.5, 0.5];
  if (frame.classList.toggle("large")) {
    frame.scrollLeft = at[0] * image.naturalWidth - frame.clientWidth / 2;
    frame.scrollTop = at[1] * image.naturalHeight - frame.clientHeight / 2;
  }
}

// Two runs at least.
const form = document.querySelector("[data-compare]");
if (form) {
  const button = form.querySelector("button");
  const count = () => { button.disabled = form.querySelectorAll("input:checked").length < 2; };
  form.addEventListener("change", count);
  count();
}

const narrow = matchMedia("(max-width: 60rem)");
const filters = document.querySelector(".filters");
if (filters && narrow.matches) filters.open = false;

// A run that goes on: the parts that change are fetched again; what was chosen stays chosen.
async function refresh() {
  if (document.hidden || document.querySelector("[data-live-part] details[open]")) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.status !== 200) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live-part]")) {
    const fresh = page.getElementById(part.id);
    if (!fresh || fresh.innerHTML === part.innerHTML) continue;
    const chosen = [...part.querySelectorAll("input:checked")].map((each) => each.value);
    part.replaceChildren(...fresh.childNodes);
    for (const each of part.querySelectorAll("input")) each.checked = chosen.includes(each.value);
  }
  if (!page.body.dataset.live) clearInterval(timer);
}
const period = Number(document.body.dataset.live || 0);
const timer = period ? setInterval(() => refresh().catch(() => {}), 1000 * period) : 0;
