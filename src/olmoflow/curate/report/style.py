"""The style of a report's page: light or dark as the reader's system is, readable on a phone."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #fbfbf9; --card: #ffffff; --ink: #1d2329; --quiet: #5c6670; --line: #dfe2e4;
  --before: #c3cbd4; --after: #1f6f8b; --second: #b7791f; --gone: #e9d3cf; --focus: #1f6f8b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181c; --card: #1c2227; --ink: #e6e9eb; --quiet: #9aa5ae; --line: #323a41;
    --before: #4a545d; --after: #5fb3ce; --second: #dba552; --gone: #4d3a38; --focus: #5fb3ce;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem clamp(.9rem, 4vw, 2rem) 4rem; max-width: 62rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .7rem; }
h3 { font-size: 1rem; margin: 0 0 .6rem; }
p { margin: .3rem 0; }
.quiet, figcaption { color: var(--quiet); font-size: .88rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .9rem 0 0; font-size: .92rem; }
a { color: var(--after); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; border-radius: 3px; }
.tiles { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
.card, .tile {
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem;
}
.tile strong { display: block; font-size: 1.45rem; line-height: 1.3; font-weight: 650; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 1rem 0; }
.facts dt { color: var(--quiet); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.funnel { list-style: none; margin: 0; padding: 0; }
.funnel li { padding: .55rem 0; border-top: 1px solid var(--line); }
.funnel li:first-child { border-top: 0; }
.row { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; }
.row .name { font-weight: 600; overflow-wrap: anywhere; }
.row .what { color: var(--quiet); font-size: .9rem; font-variant-numeric: tabular-nums; }
.bar { display: flex; height: .8rem; margin: .22rem 0; border-radius: .2rem; overflow: hidden; }
.bar span { display: block; flex: none; height: 100%; }
.bar .left { background: var(--after); min-width: 1px; }
.bar .gone { background: var(--gone); }
.bar.second { height: .35rem; }
.bar.second .left { background: var(--second); }
.bar.before .left { background: var(--before); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem;
  margin-right: .35rem; vertical-align: -.08rem; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; margin: 0 0 .7rem; }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.charts > * { min-width: 0; }
figure { margin: 0; }
.plot { position: relative; padding: .6rem .8rem 1.7rem 3.4rem; }
.plot svg { display: block; width: 100%; height: 11rem; overflow: visible; }
.plot .grid { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
.plot .before { fill: var(--before); }
.plot .after { fill: var(--after); }
.heights { position: absolute; left: 0; top: .6rem; height: 11rem; width: 3.1rem; }
.heights span { position: absolute; right: 0; transform: translateY(50%); white-space: nowrap; }
.places { position: relative; height: 0; }
.places span { position: absolute; top: .3rem; transform: translateX(-50%); white-space: nowrap; }
.heights, .places { color: var(--quiet); font-size: .78rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: right; padding: .3rem .6rem; border-top: 1px solid var(--line);
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
thead th { color: var(--quiet); font-weight: 500; border-top: 0; }
details { border-top: 1px solid var(--line); padding: .45rem 0; }
.card > details:first-child { border-top: 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
figure details { margin-top: .5rem; padding-bottom: 0; font-size: .9rem; }
.sample { margin: .7rem 0 1rem; }
pre {
  margin: .3rem 0 0; padding: .7rem .8rem; max-height: 20rem; overflow: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; background: var(--page); border: 1px solid var(--line);
  border-radius: .4rem; font: .82rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
@media (max-width: 32rem) {
  .plot { padding-left: 2.9rem; padding-right: 1.4rem; }
  .heights { width: 2.6rem; }
  .places:has(span:nth-child(5)) span:nth-child(even) { display: none; }
}
@media print { body { max-width: none; } details { break-inside: avoid; } }
"""
