// Plays a window of trades. The chart is drawn once, whole; a frame at a time t is the chart with a curtain over what
// is later than t, and what was last known by then in numbers. So the same window has the same frames, at any speed.
import { echarts } from "nicegui-echart";
import { palette } from "/schemahub/palette.js";

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50];

const two = (n) => String(n).padStart(2, "0");

function utc(micros, digits = 6) {
  const at = new Date(Math.floor(micros / 1000));
  const fraction = String(((micros % 1e6) + 1e6) % 1e6).padStart(6, "0").slice(0, digits);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}${digits ? "." + fraction : ""}`;
}

function lastAt(times, t) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= t) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// Whether a key is for what has the focus: for fields all are, for buttons and links the space bar.
function isTaken(key, target) {
  return target instanceof Element && target.closest(`input, select, textarea, [role=combobox], .q-menu${key === " " ? ", button, a" : ""}`);
}

export default {
  props: { choice: String, times: Number },
  template: `
  <section class="player" aria-label="replay" tabindex="-1">
    <p v-if="state == 'idle'" class="empty">Choose an asset and a time, or one of the bursts below, and press Replay.</p>
    <p v-else-if="state == 'loading' && !shown" class="empty" role="status">Reading the trades …</p>
    <p v-else-if="state == 'failed'" class="problem" role="alert">{{ words }}</p>
    <div v-show="shown && state != 'failed'" :class="{ stale: state == 'loading' }">
      <p class="words" role="status">{{ words }}</p>
      <p v-if="told.length" class="movers"><span v-for="line in told">{{ line }}</span></p>
      <div class="screen">
        <div ref="chart" class="chart" role="img" :aria-label="words"></div>
        <div ref="curtain" class="curtain" aria-hidden="true"></div>
      </div>
      <div class="controls" role="group" aria-label="player">
        <button type="button" @click="toggle" :aria-label="playing ? 'pause' : 'play'" aria-keyshortcuts="Space" class="play">{{ playing ? "❚❚" : "▶" }}</button>
        <button type="button" @click="step(-1)" aria-label="a trade back" aria-keyshortcuts="ArrowLeft">◂</button>
        <button type="button" @click="step(1)" aria-label="a trade on" aria-keyshortcuts="ArrowRight">▸</button>
        <input ref="slider" type="range" min="0" :max="length" step="1000" @input="go(Number($event.target.value))" aria-label="time in the window">
        <output ref="clock" class="clock"></output>
        <label>speed <select v-model.number="speed"><option v-for="s in speeds" :value="s">{{ s }}x</option></select></label>
        <button type="button" @click="copy">{{ copied || "link" }}</button>
        <a class="button" :href="'/replay/trades.csv?' + choice" download>{{ thinned ? "CSV of what is drawn" : "CSV" }}</a>
        <button type="button" @click="picture">PNG</button>
      </div>
      <div class="list" tabindex="0" role="region" aria-label="last trades"><table class="venues">
        <thead><tr><th>venue</th><th>market</th><th class="number">last price</th><th class="number">quantity</th><th>side</th><th class="number">traded at</th><th class="number">above the mean, bps</th></tr></thead>
        <tbody ref="rows"><tr v-for="(venue, n) in named"><th scope="row"><span class="dot" :style="{ background: colours.venues[n % colours.venues.length] }"></span>{{ venue.exchange }}</th><td>{{ venue.symbol }}</td><td class="number"></td><td class="number"></td><td></td><td class="number"></td><td class="number"></td></tr></tbody>
      </table></div>
      <p class="apart">Apart, of middle prices: <b ref="apart"></b></p>
    </div>
  </section>`,
  data: () => ({ state: "idle", shown: false, words: "", told: [], named: [], thinned: false, length: 0, playing: false, speed: 1, speeds: SPEEDS, copied: "", colours: { venues: [] } }),
  mounted() {
    // Not among Vue's data: it would watch each of the numbers.
    this.at = 0;
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    this.resized = new ResizeObserver(() => this.chart && (this.chart.resize(), this.frame()));
    this.resized.observe(this.$refs.chart);
    this.themed = new MutationObserver(() => this.window && palette().ink !== this.colours.ink && this.draw());
    this.themed.observe(document.body, { attributeFilter: ["class"] });
    if (this.choice) this.load(Number(new URLSearchParams(location.search).get("t")) || 0);
  },
  beforeUnmount() {
    document.removeEventListener("keydown", this.onKey);
    this.resized.disconnect();
    this.themed.disconnect();
    this.fetching?.abort();
    cancelAnimationFrame(this.next);
    this.chart?.dispose();
  },
  watch: {
    times() {
      this.load(0);
      this.$el.focus(); // the keys are for it now, and it may be out of sight
    },
  },
  methods: {
    // From a time in the window on: its start plays, another is where a link stopped.
    async load(from) {
      this.fetching?.abort();
      const fetching = (this.fetching = new AbortController());
      this.stop();
      this.state = "loading";
      this.told = [];
      try {
        const window = await this.ask("ticks", fetching);
        this.window = window;
        this.length = window.length;
        this.named = window.venues;
        this.thinned = window.thinned;
        this.moments = Float64Array.from(window.venues.flatMap((venue) => venue.time)).sort();
        this.words = this.sentence();
        this.shown = true;
        this.state = "shown";
        await this.$nextTick();
        this.draw();
        this.seek(from);
        this.note();
        if (window.trades && !from) this.toggle();
      } catch (problem) {
        if (fetching.signal.aborted) return;
        this.state = "failed";
        this.words = problem.told || "The server does not answer: is `schemahub ui` still running?";
        return;
      }
      try {
        this.told = this.window.told ?? (this.window.venues.length > 1 ? (await this.ask("movers", fetching)).told : []);
      } catch (problem) {
        if (!fetching.signal.aborted) this.told = [`Who moved first is not known: ${problem.told || "the server does not answer"}`];
      }
    },
    async ask(what, fetching) {
      const answer = await fetch(`/replay/${what}?${this.choice}`, { signal: fetching.signal });
      const body = await answer.json();
      if (!answer.ok) throw { told: body.error };
      return body;
    },
    sentence() {
      const { asset, trades, thinned, venues, start, length, future } = this.window;
      const day = new Date(start / 1000).toISOString().slice(0, 10);
      const span = `${asset}, ${day} ${utc(start)} to ${utc(start + length)} UTC`;
      if (!trades) return `${span}: no trade${future ? ", and this time is still to come" : ""}. \`schemahub status\` tells what there is.`;
      const drawn = this.moments.length.toLocaleString("en");
      const count = `${trades.toLocaleString("en")} trades at ${venues.length} ${venues.length == 1 ? "venue" : "venues"}`;
      return `${span}: ${count}${thinned ? `, of which ${drawn} are drawn (first, last, lowest and highest of each moment)` : ""}.`;
    },
    draw() {
      this.colours = palette();
      this.chart ??= echarts.init(this.$refs.chart);
      this.chart.setOption(this.option(), { notMerge: true });
      this.frame();
    },
    option() {
      const { venues, apart, start, length } = this.window;
      const c = this.colours;
      const most = Math.sqrt(venues.reduce((top, venue) => venue.quantity.reduce((a, b) => (a > b ? a : b), top), 0));
      const axis = (grid, more) => ({ gridIndex: grid, axisLine: { lineStyle: { color: c.ink } }, axisLabel: { color: c.ink }, splitLine: { lineStyle: { color: c.line } }, nameTextStyle: { color: c.ink, align: "left" }, ...more });
      const time = (grid, shown) => axis(grid, { type: "value", min: 0, max: length, splitLine: { show: false }, axisLabel: { show: shown, color: c.ink, hideOverlap: true, alignMaxLabel: "right", formatter: (t) => utc(start + t, length < 4e6 ? 3 : length < 6e7 ? 1 : 0) } });
      // A price holds until the next trade, or the window's end.
      const held = (times, values = []) => [...times.map((t, i) => [t, values[i]]), [length, values.at(-1)]];
      const line = (name, colour, grid, data, more) => ({ name, type: "line", step: "end", showSymbol: false, silent: true, color: colour, xAxisIndex: grid, yAxisIndex: grid, data, ...more });
      const series = [];
      venues.forEach((venue, n) => {
        const colour = c.venues[n % c.venues.length];
        series.push(line(venue.exchange, colour, 0, held(venue.time, venue.price), { lineStyle: { width: 1.5 }, z: 3 }));
        for (const [side, symbol, rotate] of [[1, "triangle", 0], [-1, "triangle", 180], [0, "circle", 0]]) {
          const data = [];
          venue.side.forEach((s, i) => s === side && data.push([venue.time[i], venue.price[i], venue.quantity[i]]));
          if (data.length)
            series.push({ name: venue.exchange, type: "scatter", progressive: 0, xAxisIndex: 0, yAxisIndex: 0, data, symbol, symbolRotate: rotate, symbolSize: (d) => 3 + (15 * Math.sqrt(d[2])) / most, silent: true, z: 4, itemStyle: { color: side > 0 ? c.buy : side < 0 ? c.sell : colour, opacity: 0.55 } });
        }
        series.push(line(venue.exchange, colour, 1, held(apart.time, apart.above_mean[n]), { lineStyle: { width: 1 } }));
      });
      series.push(line("apart", c.apart, 1, held(apart.time, apart.bps), { areaStyle: { opacity: 0.2 }, lineStyle: { width: 1 } }));
      return {
        animation: false,
        textStyle: { color: c.ink },
        legend: { top: 0, textStyle: { color: c.ink }, data: [...venues.map((venue) => venue.exchange), "apart"] },
        // Without outer bounds: ECharts would make room for the last label of the one, and time would not be the same on both.
        grid: [{ left: 70, right: 16, top: 44, height: "50%", outerBoundsMode: "none" }, { left: 70, right: 16, top: "70%", bottom: 28, outerBoundsMode: "none" }],
        xAxis: [time(0, false), time(1, true)],
        yAxis: [axis(0, { type: "value", scale: true, name: "price" }), axis(1, { type: "value", name: "basis points: above the mean, and apart" })],
        series,
      };
    },
    frame() {
      if (!this.window || !this.chart) return;
      const { venues, apart, start, length } = this.window;
      const t = Math.round(this.at);
      const from = this.chart.convertToPixel({ xAxisIndex: 0 }, t);
      const to = this.chart.convertToPixel({ xAxisIndex: 0 }, length);
      const curtain = this.$refs.curtain.style;
      curtain.transform = `translateX(${from}px)`;
      curtain.width = `${Math.max(to - from, 0) + 10}px`;
      this.$refs.slider.value = t;
      this.$refs.slider.setAttribute("aria-valuetext", utc(start + t));
      this.$refs.clock.textContent = utc(start + t);
      const now = lastAt(apart.time, t);
      this.$refs.apart.textContent = now < 0 ? "not told yet" : `${apart.bps[now].toFixed(2)} bps`;
      const rows = this.$refs.rows.children;
      venues.forEach((venue, n) => {
        const i = lastAt(venue.time, t);
        const above = now < 0 ? null : apart.above_mean[n]?.[now];
        const cells = i < 0 ? ["", "", "", "", ""] : [venue.price[i], venue.quantity[i], venue.side[i] > 0 ? "▲ buy" : venue.side[i] < 0 ? "▼ sell" : "", utc(start + venue.time[i]), above == null ? "" : above.toFixed(2)];
        cells.forEach((text, cell) => {
          const node = rows[n]?.children[cell + 2];
          if (node && node.textContent !== String(text)) node.textContent = text;
        });
      });
    },
    seek(t) {
      this.at = Math.min(Math.max(t, 0), this.length);
      this.frame();
    },
    toggle() {
      if (this.playing) {
        this.stop();
        this.note();
        return;
      }
      if (this.at >= this.length) this.at = 0;
      this.playing = true;
      let before = null;
      const run = (now) => {
        if (!this.playing) return;
        this.seek(this.at + (before === null ? 0 : (now - before) * 1000 * this.speed));
        before = now;
        if (this.at >= this.length) {
          this.stop();
          this.note();
        } else this.next = requestAnimationFrame(run);
      };
      this.next = requestAnimationFrame(run);
    },
    stop() {
      this.playing = false;
      cancelAnimationFrame(this.next);
    },
    step(way) {
      const i = lastAt(this.moments, way > 0 ? this.at : this.at - 1);
      this.go(way > 0 ? (this.moments[i + 1] ?? this.length) : (this.moments[i] ?? 0));
    },
    go(t) {
      this.stop();
      this.seek(t);
      this.note();
    },
    key(event) {
      if (!this.window || isTaken(event.key, event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
      const speed = (by) => (this.speed = SPEEDS[Math.min(Math.max(SPEEDS.indexOf(this.speed) + by, 0), SPEEDS.length - 1)]);
      const does = { " ": () => this.toggle(), ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), Home: () => this.go(0), End: () => this.go(this.length), "+": () => speed(1), "-": () => speed(-1) }[event.key];
      if (!does) return;
      event.preventDefault();
      does();
    },
    // The address reproduces the view.
    note() {
      history.replaceState(history.state, "", `?${this.choice}&t=${Math.round(this.at)}`);
    },
    async copy() {
      this.note();
      // Over plain HTTP from another machine a browser gives pages no clipboard.
      this.copied = navigator.clipboard ? "copied" : "it is in the address bar";
      await navigator.clipboard?.writeText(location.href);
      setTimeout(() => (this.copied = ""), 1500);
    },
    picture() {
      const ground = getComputedStyle(document.body).backgroundColor;
      const drawn = this.chart.getRenderedCanvas({ pixelRatio: 2, backgroundColor: ground });
      const brush = drawn.getContext("2d");
      brush.setTransform(1, 0, 0, 1, 0, 0); // ECharts leaves its own behind
      brush.globalAlpha = 1;
      const from = 2 * this.chart.convertToPixel({ xAxisIndex: 0 }, this.at);
      brush.fillStyle = ground;
      brush.fillRect(from, 80, drawn.width - from, drawn.height - 136);
      brush.fillStyle = this.colours.ink;
      brush.font = "24px sans-serif";
      brush.fillText(`${this.window.asset} ${new Date(this.window.start / 1000).toISOString().slice(0, 10)} ${utc(this.window.start + Math.round(this.at))} UTC`, 140, drawn.height - 4);
      drawn.toBlob((blob) => {
        const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${this.window.asset}_${Math.round(this.at)}.png` });
        link.click();
        URL.revokeObjectURL(link.href);
      });
    },
  },
};
