"""How the HTML report looks: light and dark by the device, one column on a phone."""

STYLE = """
:root { color-scheme: light dark; --page:#ffffff; --card:#f2f5f8; --text:#1d2733; --soft:#51606f;
  --rule:#d4dce4; --leak:#a3241b; --shortcut:#8a4b00; --note:#1d4478; --clear:#1f6b3a;
  --mark:#2b6a99; --strong:#b3530a; }
@media (prefers-color-scheme: dark) { :root { --page:#12171d; --card:#1d252e; --text:#e4e9ee;
  --soft:#a3b0bd; --rule:#35414e; --leak:#ff9a90; --shortcut:#f0b46a; --note:#9cc7f0;
  --clear:#8fd6a6; --mark:#6fb1e0; --strong:#f09a4a; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--page); color:var(--text); font:16px/1.5 system-ui,sans-serif; }
main { max-width:56rem; margin:0 auto; padding:1.5rem 1rem 3rem; }
h1 { font-size:1.6rem; line-height:1.25; margin:0 0 .5rem; overflow-wrap:anywhere; }
h2 { font-size:1.15rem; margin:2.2rem 0 .8rem; }
h3 { font-size:1rem; margin:0 0 .6rem; }
p { margin:.4rem 0; }
code { font-size:.9em; overflow-wrap:anywhere; }
.verdict { font-size:1.15rem; font-weight:600; border-left:.4rem solid var(--rule);
  padding:.5rem .9rem; background:var(--card); border-radius:.25rem; margin:1rem 0; }
.verdict.leak { border-color:var(--leak); }
.verdict.shortcut { border-color:var(--shortcut); }
.verdict.clear { border-color:var(--clear); }
dl { display:grid; grid-template-columns:max-content 1fr; gap:.15rem 1rem; margin:0; }
dt { color:var(--soft); }
dd { margin:0; overflow-wrap:anywhere; }
section.check { border:1px solid var(--rule); border-left:.3rem solid var(--rule);
  border-radius:.3rem; padding:.8rem 1rem; margin:.8rem 0; }
section.leak { border-left-color:var(--leak); }
section.shortcut { border-left-color:var(--shortcut); }
section.note { border-left-color:var(--note); }
.tag { font-weight:700; white-space:nowrap; }
.leak .tag { color:var(--leak); }
.shortcut .tag { color:var(--shortcut); }
.note .tag { color:var(--note); }
.clear .tag { color:var(--clear); }
.skipped .tag { color:var(--soft); }
section.check h3 { margin:0 0 .3rem; }
section.check p { margin:.35rem 0; }
.meaning { color:var(--soft); }
ul.rest { list-style:none; padding:0; margin:0; }
ul.rest li { padding:.45rem 0; border-top:1px solid var(--rule); }
ul.rest span.told { color:var(--soft); display:block; }
.wide { overflow-x:auto; margin:.6rem 0; }
table { border-collapse:collapse; font-size:.88rem; width:100%; }
th, td { text-align:left; padding:.3rem .6rem .3rem 0; border-top:1px solid var(--rule);
  vertical-align:top; overflow-wrap:anywhere; min-width:5rem; }
th { color:var(--soft); font-weight:600; }
.examples { margin:.6rem 0; }
td.cell, th[scope=col] { text-align:right; padding-right:.5rem; }
th[scope=col] { white-space:nowrap; }
th[scope=row] { min-width:9rem; }
td.cell { background:color-mix(in srgb, var(--mark) calc(var(--share) * .4), transparent); }
figure { margin:1.4rem 0; }
figcaption { color:var(--soft); font-size:.88rem; margin-top:.5rem; }
.bar { display:grid; grid-template-columns:minmax(6rem,13rem) 1fr minmax(4.5rem,9rem); gap:.7rem;
  align-items:center; min-height:1.75rem; }
.bar .label { overflow-wrap:anywhere; line-height:1.2; font-size:.92rem; }
.bar .value { font-variant-numeric:tabular-nums; font-size:.88rem; line-height:1.2; }
.track { position:relative; height:1.3rem; background:var(--card); border-radius:.2rem; }
.track * { position:absolute; }
.track i { top:.4rem; height:.5rem; background:var(--mark); opacity:.45; border-radius:.25rem; }
.track i.whisker { top:.6rem; height:.1rem; opacity:.8; }
.track b { top:.3rem; width:.7rem; height:.7rem; margin-left:-.35rem; background:var(--mark);
  border-radius:50%; }
.track .strong { background:var(--strong); }
.track u { top:.1rem; width:.16rem; height:1.1rem; margin-left:-.08rem; background:var(--text); }
.track s { top:0; height:100%; width:0; border-left:1px solid var(--soft); }
.track s.line { border-left:2px dashed var(--shortcut); }
.track q { bottom:0; background:var(--soft); opacity:.7; quotes:none; }
.track q::before, .track q::after { content:none; }
.scale { min-height:1.2rem; }
.ticks { position:relative; height:1.2rem; font-size:.78rem; color:var(--soft); }
.ticks span { position:absolute; transform:translateX(-50%); white-space:nowrap; }
.ticks span.first { transform:none; }
.ticks span.last { transform:translateX(-100%); }
.ticks span.before { transform:translateX(calc(-100% + .6rem)); }
.ticks span.after { transform:translateX(-.6rem); }
footer { color:var(--soft); font-size:.88rem; margin-top:2.5rem; border-top:1px solid var(--rule);
  padding-top:1rem; }
@media (max-width:34rem) { .bar { grid-template-columns:1fr 4.6rem; gap:.1rem .6rem;
  margin-bottom:.55rem; } .bar .label { grid-column:1 / -1; } .scale .label { display:none; } dl {
  grid-template-columns:1fr; gap:0; } dd { margin-bottom:.5rem; } .examples tr:first-child { display:none; }
  .examples, .examples tbody, .examples tr, .examples td { display:block; }
  .examples tr { border-top:1px solid var(--rule); padding:.35rem 0; }
  .examples td { border:0; padding:.05rem 0; }
  .examples td::before { content:attr(data-name) ": "; color:var(--soft); } }
@media print { section.check, figure { break-inside:avoid; } }
"""
