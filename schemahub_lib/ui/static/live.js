// Shows what /live/told tells: rows in a grid, which take changes only, what is apart, alerts, and a chart. One
// connection a page; while it is paused there is none, so the server tells nobody.
import * as AgGrid from "nicegui-aggrid";
import { echarts } from "nicegui-echart";
import Depth from "/schemahub/books.js";
import { palette } from "/schemahub/palette.js";

const KEPT = 600; // samples, as the server keeps
const ALERTS = 100;

const clock = (micros) => `${new Date(Math.floor(micros / 1000)).toISOString().slice(11, 23)}${String(micros % 1000).padStart(3, "0")}`;
const number = { comparator: (a, b) => (a ?? -Infinity) - (b ?? -Infinity), cellClass: "number", headerClass: "number", minWidth: 84 };
const bps = ({ value }) => value?.toFixed(2) ?? "";
const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

export default {
  components: { Depth },
  template: `
  <section class="watch" aria-label="live">
    <p v-if="problem" class="problem" role="alert">{{ problem }}</p>
    <p v-else-if="!shown" class="empty" role="status">Connecting to the exchanges …</p>
    <p v-else-if="unreached" class="problem" role="alert">No feed could be reached: {{ unreached }}</p>
    <div v-show="shown" :class="{ stale: problem }">
      <ul class="feeds" aria-label="feeds"><li v-for="line in lines" :class="line.state" :title="line.words"><b>{{ line.exchange.toUpperCase() }}</b> {{ line.state }}<span v-if="line.words && line.state != 'live'">: {{ line.words }}</span><span v-if="line.missed">, {{ line.missed }} trades left out</span><span v-if="line.fetched">, {{ line.fetched }} fetched over REST</span><span v-if="line.unreadable">, {{ line.unreadable }} frames not understood</span><span v-for="(why, market) in line.refused">, refused {{ market || "a subscription" }}: {{ why }}</span></li></ul>
      <p v-if="unrecorded" class="problem" role="alert">Trades are not recorded now, and it is tried again: {{ unrecorded }}</p>
      <p v-else-if="recorded != null" class="words" role="status">{{ recorded.toLocaleString("en") }} trades recorded</p>
      <div class="controls" role="group" aria-label="table">
        <button type="button" @click="toggle" :aria-pressed="String(paused)" class="play wide">{{ paused ? "resume" : "pause" }}</button>
        <label>filter <input type="search" v-model="filter" placeholder="BTC, kraken" aria-label="filter the table"></label>
        <span class="words" role="status">{{ paused ? "paused at " + time + " UTC" : empty ? "no market fits the filter" : "" }}</span>
      </div>
      <div ref="grid" class="grid"></div>
      <div class="controls"><h2>An asset at its venues</h2><label>asset <select v-model="chosen" aria-label="asset of the charts"><option v-for="group in groups">{{ group }}</option></select></label></div>
      <div class="beside">
        <section aria-label="the last minutes"><h3>The last minutes: basis points from the middle across venues</h3><div ref="chart" class="chart history" role="img" :aria-label="'how far each venue was from the middle across venues, ' + chosen"></div></section>
        <section aria-label="depth"><h3>Order books: what is offered up to each price</h3><Depth :asset="chosen.replace(' in dollars', '').replace(' in ', '-')"></Depth></section>
      </div>
      <h2>Where venues disagree</h2>
      <p v-if="!comparable" class="empty">There is nothing to compare: no asset is quoted at two venues now.</p>
      <p v-else-if="!found.length" class="empty">Nowhere: every pair of venues is less than 1 bps apart.</p>
      <div v-else class="list" tabindex="0" role="region" aria-label="where venues disagree"><table class="found">
        <thead><tr><th>asset</th><th>cheaper at</th><th>dearer at</th><th class="number">apart, bps</th><th class="number">after fees, bps</th><th>reason</th><th>which is</th></tr></thead>
        <tbody><tr v-for="one in found" :key="one.key"><th scope="row">{{ one.asset }}</th><td>{{ one.cheap }}</td><td>{{ one.dear }}</td><td class="number">{{ one.apart.toFixed(1) }}</td><td class="number">{{ one.net.toFixed(1) }}</td><td><span class="reason" :class="one.reason.replace(' ', '-')">{{ one.reason }}</span></td><td>{{ one.words }}</td></tr></tbody>
      </table></div>
      <h2>Alerts</h2>
      <p v-if="!alerts.length" class="empty">None yet.</p>
      <div class="alerts" role="log" aria-label="alerts" tabindex="0"><ol><li v-for="alert in alerts" :key="alert.time + alert.words"><time>{{ at(alert.time) }}</time> {{ alert.apart.toFixed(1) }} bps apart: {{ alert.words }}</li></ol></div>
    </div>
  </section>`,
  data: () => ({ shown: false, problem: "", lines: [], found: [], alerts: [], groups: [], chosen: "", filter: "", paused: false, time: "", empty: false, recorded: null, unrecorded: "", comparable: false }),
  computed: {
    unreached() {
      const down = this.lines.filter((line) => line.state === "down");
      return down.length && down.length === this.lines.length ? down.map((line) => line.words).join("; ") : "";
    },
  },
  mounted() {
    AgGrid.ModuleRegistry.registerModules([AgGrid.AllCommunityModule]);
    // Not among Vue's data: it would watch each of the numbers.
    this.rows = new Map();
    this.samples = { times: [], mids: {} };
    this.now = 0;
    this.api = AgGrid.createGrid(this.$refs.grid, this.options());
    this.resized = new ResizeObserver(() => this.history?.resize());
    this.resized.observe(this.$refs.chart);
    this.themed = new MutationObserver(() => this.theme());
    this.themed.observe(document.body, { attributeFilter: ["class"] });
    this.theme();
    this.connect();
  },
  beforeUnmount() {
    this.told?.close();
    this.resized.disconnect();
    this.themed.disconnect();
    this.api.destroy();
    this.history?.dispose();
  },
  watch: {
    filter(text) {
      this.api.setGridOption("quickFilterText", text.replaceAll(",", " "));
    },
    chosen() {
      this.draw();
    },
  },
  methods: {
    at: clock,
    options() {
      const column = (field, headerName, more) => ({ field, headerName, ...more });
      return {
        theme: AgGrid.themeQuartz.withPart(AgGrid.colorSchemeVariable).withParams({ spacing: 5, fontFamily: "inherit", backgroundColor: "var(--ground)", foregroundColor: "var(--ink)", headerBackgroundColor: "var(--soft)" }),
        columnDefs: [
          column("market", "market", { pinned: "left", width: 110, sort: "asc", sortIndex: 0, tooltipField: "symbol", getQuickFilterText: ({ data }) => `${data.market} ${data.symbol}` }),
          column("venue", "venue", { minWidth: 104, sort: "asc", sortIndex: 1 }),
          column("bid", "bid", { ...number, minWidth: 104, tooltipValueGetter: ({ data }) => data.bid && `${data.bid_size} at this price` }),
          column("ask", "ask", { ...number, minWidth: 104, tooltipValueGetter: ({ data }) => data.ask && `${data.ask_size} at this price` }),
          column("last", "last", { ...number, minWidth: 104 }),
          column("size", "size", { ...number, minWidth: 120 }),
          column("side", "side", { minWidth: 76, valueFormatter: ({ value }) => ({ BUY: "▲ buy", SELL: "▼ sell" })[value] ?? "" }),
          column("spread", "spread, bps", { ...number, valueFormatter: bps }),
          column("deviation", "off the middle, bps", { ...number, minWidth: 110, valueFormatter: bps, headerTooltip: "from the middle across venues" }),
          column("age", "age, s", { ...number, valueGetter: ({ data }) => (data.quoted ? Math.max(0, Math.round((this.now - data.quoted) / 1e6)) : null) }),
          column("lag", "lag, ms", number),
          column("state", "state", { minWidth: 96, tooltipField: "words" }),
        ],
        defaultColDef: { wrapHeaderText: true, autoHeaderHeight: true, flex: 1, resizable: true, suppressMovable: true },
        getRowId: ({ data }) => data.id,
        // Else the way by the keyboard to what is below would be through each of the cells.
        suppressCellFocus: true,
        onRowClicked: ({ data }) => (this.chosen = data.group),
        rowData: [],
        domLayout: "autoHeight",
        animateRows: false,
        suppressColumnVirtualisation: true,
        enableCellTextSelection: true,
        suppressNoRowsOverlay: true,
        onModelUpdated: ({ api }) => (this.empty = !api.getDisplayedRowCount()),
      };
    },
    connect() {
      this.told = new EventSource("/live/told");
      this.told.onmessage = (event) => this.take(JSON.parse(event.data));
      this.told.onopen = () => (this.alerts = []); // a new connection, whoever made it, tells all of them
      this.told.onerror = () => (this.problem ||= "The server does not answer: is `schemahub ui` still running?");
    },
    toggle() {
      this.paused = !this.paused;
      if (this.paused) {
        this.told.close();
        this.time = clock(this.now);
      } else this.connect();
    },
    take(news) {
      this.problem = news.problem ?? "";
      if (this.problem) {
        this.told.close();
        return;
      }
      this.now = news.now;
      if (news.rows) this.put(news.rows);
      if (news.lines) this.lines = news.lines;
      if (news.recorded != null) [this.recorded, this.unrecorded] = [news.recorded, news.unrecorded];
      if (news.found) {
        this.found = news.found;
        this.comparable = [...this.rows.values()].some((row) => row.deviation != null) || news.found.length > 0;
      }
      if (news.alerts) this.alerts = [...news.alerts, ...this.alerts].slice(0, ALERTS);
      if (news.samples) this.keep(news.samples);
      if (news.found) this.api.refreshCells({ columns: ["age"] });
      this.shown = true;
    },
    put(rows) {
      const add = rows.filter((row) => !this.rows.has(row.id));
      const update = rows.filter((row) => this.rows.has(row.id));
      rows.forEach((row) => this.rows.set(row.id, row));
      this.api.applyTransaction({ add, update });
      if (add.length) {
        this.groups = [...new Set([...this.rows.values()].map((row) => row.group))].sort();
        this.chosen ||= this.groups[0];
      }
    },
    keep({ times, mids }) {
      const last = this.samples.times.at(-1) ?? 0;
      const from = times.findIndex((time) => time > last);
      if (from < 0) return;
      const kept = (values, more) => [...(values ?? []), ...more.slice(from)].slice(-KEPT);
      for (const [name, values] of Object.entries(mids)) this.samples.mids[name] = kept(this.samples.mids[name], values);
      this.samples.times = kept(this.samples.times, times);
      this.draw();
    },
    theme() {
      const dark = document.body.classList.contains("body--dark");
      this.colours = palette();
      this.$refs.grid.setAttribute("data-ag-theme-mode", dark ? "dark" : "light");
      this.draw();
    },
    draw() {
      if (!this.shown || !this.chosen) return;
      const { times, mids } = this.samples;
      const rows = [...this.rows.values()].filter((row) => row.group === this.chosen);
      const middles = times.map((_, i) => {
        const known = rows.map((row) => mids[row.id]?.[i]).filter((mid) => mid != null);
        return known.length > 1 ? median(known) : null;
      });
      const off = (row) => times.map((time, i) => [time / 1000, middles[i] && mids[row.id]?.[i] != null ? (mids[row.id][i] / middles[i] - 1) * 1e4 : null]);
      const lines = JSON.stringify([rows.map((row) => row.id), this.colours]);
      // Each second only the data changes, and all else costs more.
      const frame = lines === this.drawn ? {} : this.frame(rows);
      this.drawn = lines;
      this.history ??= echarts.init(this.$refs.chart);
      this.history.setOption({ ...frame, series: rows.map((row, n) => ({ ...frame.series?.[n], data: off(row) })) }, { notMerge: "series" in frame });
    },
    frame(rows) {
      const c = this.colours;
      const axis = { axisLine: { lineStyle: { color: c.ink } }, axisLabel: { color: c.ink, hideOverlap: true }, splitLine: { lineStyle: { color: c.line } } };
      return {
        animation: false,
        useUTC: true,
        textStyle: { color: c.ink },
        legend: { top: 0, type: "scroll", textStyle: { color: c.ink } },
        grid: { left: 60, right: 16, top: 40, bottom: 28 },
        xAxis: { type: "time", ...axis, splitLine: { show: false } },
        yAxis: { type: "value", scale: true, ...axis },
        series: rows.map((row, n) => ({ name: `${row.venue} ${row.symbol}`, type: "line", showSymbol: false, silent: true, color: c.venues[n % c.venues.length], lineStyle: { width: 1.5 } })),
      };
    },
  },
};
