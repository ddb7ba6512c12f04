// What was odd about pages, in plain words.
import t from "./strings.en.js";

/** Sentences about what was odd, from the flags of the pages. */
export function remarks(pages) {
  const found = [];
  for (const page of pages) {
    for (const flag of page.flags) if (t.flags[flag] && !t.quietFlags.includes(flag)) found.push(t.onPage(page.page, t.flags[flag]));
    if (page.error) found.push(t.onPage(page.page, `${page.error.detail.charAt(0).toLowerCase()}${page.error.detail.slice(1).replace(/\.$/, "")}`));
  }
  return found;
}
