"use strict";
const text = document.getElementById("text");
const copy = document.getElementById("copy");
copy.addEventListener("click", async () => {
  let done = true;
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    // Without https a browser may have no clipboard for pages: select it instead.
    document.getElementById("as-text").open = true;
    const selection = getSelection();
    selection.selectAllChildren(text);
    done = document.execCommand("copy");
  }
  copy.textContent = done ? "Copied" : "Press Ctrl-C";
  setTimeout(() => { copy.textContent = "Copy as text"; }, 2000);
});
document.getElementById("unfold").addEventListener("click", () => {
  const all = [...document.querySelectorAll("details.frame, details.others")];
  const open = all.some((each) => !each.open);
  for (const each of all) each.open = open;
});
for (const link of document.querySelectorAll("a[href^='#']")) {
  link.addEventListener("click", () => {
    let place = document.getElementById(link.hash.slice(1));
    for (; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
  });
}
