// The colours of the page's theme, as its style sheet has them.
export function palette() {
  const style = getComputedStyle(document.body);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const named = ["ink", "line", "soft", "buy", "sell", "apart"].map((name) => [name, colour(name)]);
  return { ...Object.fromEntries(named), venues: colour("venues").split(" ") };
}
