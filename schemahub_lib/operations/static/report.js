{
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => echarts.getInstanceByDom(target).resize()));
  for (const place of document.querySelectorAll(".chart")) {
    const { option, height } = charts[place.dataset.panel];
    place.style.height = `${height}px`;
    echarts.init(place, null, { renderer: "svg" }).setOption(option);
    sizes.observe(place);
  }
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
