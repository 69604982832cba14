// The bursts of volatility that were found; emits `chosen` with the number of the one that is pressed.
export default {
  props: { bursts: Array },
  template: `
  <div class="list bursts" tabindex="0" role="region" aria-label="bursts found"><table>
    <thead><tr><th>asset</th><th>busiest from</th><th class="number">move, bps</th><th class="number">times usual</th><th class="number">trades</th><th>venues</th></tr></thead>
    <tbody><tr v-for="(burst, n) in bursts">
      <th scope="row">{{ burst.asset }}</th>
      <td><button type="button" @click="$emit('chosen', n)" :aria-label="'replay ' + burst.asset + ' ' + burst.at">{{ burst.at }}</button></td>
      <td class="number">{{ burst.move }}</td><td class="number">{{ burst.ratio }}</td><td class="number">{{ burst.trades }}</td>
      <td>{{ burst.venues }}</td>
    </tr></tbody>
  </table></div>`,
};
