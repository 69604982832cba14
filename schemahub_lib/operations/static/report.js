{
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const places = [...document.querySelectorAll(".chart")];
  const draw = (theme) => {
    for (const place of places) {
      const { option, height } = charts[place.dataset.panel];
      echarts.getInstanceByDom(place)?.dispose();
      place.style.height = `${height}px`;
      echarts.init(place, theme, { renderer: "svg" }).setOption(option);
    }
  };
  const drawAsShown = () => draw(dark.matches ? "dark" : null);
  drawAsShown();
  dark.addEventListener("change", drawAsShown);
  addEventListener("beforeprint", () => draw(null));
  addEventListener("afterprint", drawAsShown);
  const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => echarts.getInstanceByDom(target)?.resize()));
  places.forEach((place) => sizes.observe(place));
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copies);
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(text);
        button.textContent = "Selected: copy it by Ctrl+C";
      }
    });
  }
}
