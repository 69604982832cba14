// The depth of several order books on one chart: what is offered up to each price, each venue in its own colour.
import { echarts } from "nicegui-echart";
import { palette } from "/schemahub/palette.js";

const EVERY = 10_000; // ms between two looks for newer books

function age(milliseconds) {
  const seconds = Math.max(Math.round(milliseconds / 1000), 0);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${seconds} s`;
}

export default {
  props: { asset: String, at: String, times: Number },
  template: `
  <section v-show="asset" class="depth" aria-label="order books">
    <p v-if="problem" class="problem" role="alert">{{ problem }}</p>
    <p v-else-if="none" class="empty">{{ none }}</p>
    <p v-else-if="!books.length" class="empty" role="status">Reading the order books …</p>
    <div v-show="books.length">
    <div ref="chart" class="chart" role="img" aria-label="what is offered up to each price; the table below has the best prices"></div>
    <div class="list" tabindex="0" role="region" aria-label="the books in numbers"><table class="venues">
      <thead><tr><th>venue</th><th>market</th><th class="number">best bid</th><th class="number">best ask</th><th class="number">spread, bps</th><th class="number">age</th><th class="number">fetched</th><th class="number">made by the exchange</th><th class="number">levels</th></tr></thead>
      <tbody><tr v-for="(book, n) in books">
        <th scope="row"><span class="dot" :style="{ background: colours[n % colours.length] }"></span>{{ book.exchange }}</th>
        <td>{{ book.symbol }}</td><td class="number">{{ book.bid ?? "none" }}</td><td class="number">{{ book.ask ?? "none" }}</td>
        <td class="number">{{ book.spread?.toFixed(2) }}{{ book.spread < 0 ? " crossed" : "" }}</td>
        <td class="number">{{ age(now - book.fetched / 1000) }}</td><td class="number">{{ time(book.fetched) }}</td><td class="number">{{ book.time ? time(book.time) : "" }}</td><td class="number">{{ book.levels }}</td>
      </tr></tbody>
    </table></div>
    </div>
  </section>`,
  data: () => ({ books: [], none: "", problem: "", now: Date.now(), colours: ["inherit"] }),
  watch: {
    asset: "look",
    times: "look",
  },
  mounted() {
    this.resized = new ResizeObserver(() => this.chart?.resize());
    this.resized.observe(this.$refs.chart);
    this.themed = new MutationObserver(() => this.draw());
    this.themed.observe(document.body, { attributeFilter: ["class"] });
    this.ticking = setInterval(() => (this.now = Date.now()), 1000);
    this.looking = setInterval(() => this.at || document.hidden || this.fetching || this.fetch(), EVERY);
    this.look();
  },
  beforeUnmount() {
    this.resized.disconnect();
    this.themed.disconnect();
    clearInterval(this.ticking);
    clearInterval(this.looking);
    this.chosen = null;
    this.chart?.dispose();
  },
  methods: {
    age,
    time: (micros) => `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, 23).replace("T", " ")}${String(micros % 1000).padStart(3, "0")}`,
    look() {
      this.books = [];
      this.none = this.problem = "";
      this.chart?.clear();
      this.fetch();
    },
    async fetch() {
      if (!this.asset) return;
      const chosen = (this.chosen = new URLSearchParams({ asset: this.asset, at: this.at ?? "" }).toString());
      this.fetching = true;
      let told;
      try {
        told = await (await fetch(`/books/depth?${chosen}`)).json();
      } catch {
        told = { error: "The server does not answer: is `schemahub ui` still running?" };
      }
      this.fetching = false;
      if (chosen !== this.chosen) return; // another was chosen meanwhile
      this.problem = told.error ?? "";
      this.none = told.none ?? "";
      const newer = JSON.stringify(told.books) !== JSON.stringify(this.books);
      if (told.error || !newer) return; // what was last known is still shown
      this.range = told.range;
      this.books = told.books ?? [];
      await this.$nextTick(); // the chart has a size where it can be seen
      this.draw();
    },
    draw() {
      if (!this.books.length) return;
      const zoom = this.chart?.getOption().dataZoom?.[0];
      this.chart ??= echarts.init(this.$refs.chart);
      const range = zoom ? { start: zoom.start, end: zoom.end } : this.range ? { startValue: this.range[0], endValue: this.range[1] } : {};
      this.chart.setOption(this.option(range), { notMerge: true });
    },
    option(range) {
      const { ink, line, soft, venues } = palette();
      this.colours = venues;
      const named = (book) => `${book.exchange} ${book.symbol}`;
      const axis = (more) => ({ type: "value", axisLine: { lineStyle: { color: ink } }, axisLabel: { color: ink, hideOverlap: true }, splitLine: { lineStyle: { color: line } }, nameTextStyle: { color: ink, align: "left" }, ...more });
      const zoom = { filterMode: "none", ...range };
      return {
        animation: false,
        textStyle: { color: ink },
        legend: { top: 0, type: "scroll", icon: "roundRect", pageTextStyle: { color: ink }, textStyle: { color: ink }, data: this.books.map(named) },
        grid: { left: 70, right: 16, top: 52, bottom: 68 },
        xAxis: axis({ scale: true, splitLine: { show: false } }),
        yAxis: axis({ name: "offered up to the price, in coins" }),
        dataZoom: [{ type: "inside", zoomOnMouseWheel: "shift", ...zoom }, { type: "slider", bottom: 8, height: 24, textStyle: { color: ink }, borderColor: line, ...zoom }],
        tooltip: { trigger: "axis", backgroundColor: soft, borderColor: line, textStyle: { color: ink }, valueFormatter: (value) => (value == null ? "" : value.toPrecision(6)) },
        series: this.books.flatMap((book, n) =>
          [["bids", "start"], ["asks", "end"]].map(([side, step]) => ({ name: named(book), type: "line", step, showSymbol: false, color: this.colours[n % this.colours.length], lineStyle: { width: 1.5 }, areaStyle: { opacity: 0.12 }, data: book[side] })),
        ),
      };
    },
  },
};
