"""Requests whose values are hostile: cookies, tokens, what an app echoes, remote calls, scripts."""

from __future__ import annotations

from urllib.parse import quote

from hostile_cases import (
    END,
    FORM,
    JSON,
    MAIN,
    MULTIPART,
    Case,
    ask,
    head,
    part,
    post,
)

from atila.state.sealing import Sealer, TextSigner


def state_cases() -> list[Case]:
    """Cookies and tokens of other versions of this software, and no tokens at all."""
    sealed, signed = Sealer(MAIN, "session"), TextSigner(MAIN, "message box ATLMBX_")
    ott = TextSigner(MAIN, "one-time token")
    records = [b"", b"5", b"{}", b"[]", b"[1]", b'[99, 4e9, 1, "", {}]', b"[" * 5000, b"\xff"]
    cases = []
    for record in records:
        name = repr(record[:12])
        seal, sign, token = sealed.seal(record, "ATLSES_"), signed.sign(record), ott.sign(record)
        cases += [
            ask(f"session {name}", "/session", 200, headers=(f"Cookie: ATLSES_={seal}",)),
            ask(f"box {name}", "/messages", 200, headers=(f"Cookie: ATLMBX_={sign}",)),
            ask(f"token {name}", f"/tokens?ott={quote(token)}", 200),
        ]
    other = "/" + sealed.seal(b"[]", "ATLSES_")[1:]
    for text in ("", "x", "\xff", "A" * 4000, "%00", other, '"', "=;=", "a.b.c"):
        for name, target in (
            ("ATLSES_", "/session"),
            ("ATLMBX_", "/messages"),
            ("XSRF_TOKEN", "/form"),
        ):
            cookie = f"Cookie: {name}={text}"
            shown = "another's" if text == other else repr(text[:9])
            cases.append(ask(f"{name} {shown}", target, 200, headers=(cookie,)))
    cases += [
        ask("tokens", "/tokens?ott=%00&otp=%C3%A9&jwt=.", 200),
        post("session: too much", "/session", FORM, "key=a&value=" + "x" * 300, 200),
        post("session: JSON", "/session", JSON, '{"key": "a", "value": {"b": [1e300, null]}}', 200),
        post("message too long", "/messages", FORM, "text=" + "x" * 9000, 400),
        post("forged", "/pay", FORM, "amount=1", 400),
        post("forged with a field", "/pay", FORM, "amount=1&XSRF_TOKEN=" + "a" * 43, 400),
    ]
    return cases


INJECTED = "x\r\nX-Evil: 1\r\n\r\nHTTP/1.1 200 OK"


def injection_cases() -> list[Case]:
    """What an app echoes must not become a header of its own."""
    text = quote(INJECTED)
    cut = INJECTED.replace("\r\n", "%0d%0a")
    return [
        ask("inject: location", f"/redirect?to={text}", 302),
        ask("inject: value", f"/header?value={text}", 400),
        ask("inject: name", f"/header?value=x&name={text}", 400),
        ask("inject: name with a colon", "/header?value=x&name=X-Evil:%20", 400),
        ask("inject: framing", "/header?value=5&name=Content-Length", 200),
        ask("inject: cookie value", f"/cookie?name=a&value={text}", 200),
        ask("inject: cookie name", f"/cookie?name={text}&value=a", 400),
        ask("inject: cookie path", f"/cookie?name=a&value=a&path=/{text}", 400),
        ask("inject: cookie attributes", "/cookie?name=a&value=a&path=/;%20Domain=x", 400),
        ask("inject: cookie domain", f"/cookie?name=a&value=a&domain={text}", 400),
        ask("inject: file name", f"/download?name={text}", 200),
        ask("inject: error", f"/error?explain={text}", 409),
        ask("inject: fault", f"/fault?message={text}", 418),
        ask("inject: type", f"/type?kind={text}", 400),
        ask("inject: page", f"/page?title={text}", 200),
        ask("inject: log", f"/log?message={text}", 200),
        ask("inject: slash", f"/second?{text}", 308),
        ask("inject: realm", "/user/bearer", 401, headers=('Authorization: Bearer x",y="z\\',)),
        post("inject: file", "/back", MULTIPART,
             part(f'name="file"; filename="{cut}"', b"x", "Content-Type: a/b") + END, 200),
        Case("inject: preflight", head(
            "OPTIONS", "/open", "Origin: https://a.example", "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: x-a, x y, \xff, :",
        ), (200,), "OPTIONS"),
    ]  # fmt: skip


def call_cases() -> list[Case]:
    """Remote calls. What is wrong with one is told in the answer, not by its status."""
    entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY a{at} "{"&a;" * 10}">' for at in range(10)
    )
    bomb = f"<!DOCTYPE x [{entities}]><methodCall><methodName>&a9;</methodName></methodCall>"
    external = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><methodCall>&a;</methodCall>'
    call = "<methodCall><methodName>{}</methodName><params>{}</params></methodCall>".format
    value = "<param><value>{}</value></param>".format
    deep = "<array><data><value>" * 1000 + "</value></data></array>" * 1000
    texts = [" ", "<", "<a/>", bomb, external, call("", ""), call("\x01", ""), call("x" * 9000, "")]
    texts += [call("loop", value(deep)), call("loop", value("<int>x</int>")), call("../x", "")]
    texts += [call("loop", value("<string>a</string>")), call("typed.7", value("<nil/>") * 3)]
    texts += [call("error", ""), call("system.multicall", value("1"))]
    cases = [post(f"XML-RPC {at}", "/", "text/xml", text, 200) for at, text in enumerate(texts)]
    bodies = [" ", "{", "[]", "5", "[" * 1000, '{"method": 5}', '{"method": "loop", "params": 5}']
    bodies += ['{"jsonrpc": "2.0", "method": "loop", "params": {"was": 1}, "id": {}}']
    bodies += ['{"jsonrpc": "2.0", "method": "user.digest", "id": 1}', "[" + "5," * 5000 + "5]"]
    bodies += ['{"jsonrpc": "2.0", "method": "user.basic", "id": 1}']
    kind = "application/json-rpc"
    return cases + [
        post(f"JSON-RPC {at}", "/", kind, body, 200, 401) for at, body in enumerate(bodies)
    ]


SCRIPT = "<script>alert(1)</script>"


def script_cases() -> list[Case]:
    """What a page shows of a request must stay text."""
    text = quote(SCRIPT, safe="")
    html = ("Accept: text/html",)
    return [
        ask("script: page", f"/page?title={text}", 200, headers=html),
        ask("script: unrendered page", f"/error?explain={text}", 409, headers=html),
        ask("script: rendered page", f"/typed/1?{text}=1", 400, headers=html),
        ask("script: not found", f"/nothing/{text}", 404, headers=html),
        ask("script: charset", "/echo", 200, headers=(*html, f"Content-Type: {SCRIPT}")),
        ask("script: location", f"/redirect?to={text}", 302, headers=html),
        ask(
            "script: bearer",
            "/user/bearer",
            401,
            headers=(*html, f"Authorization: Bearer {SCRIPT}"),
        ),
        post("script: form", "/echo", f"{FORM}; charset={SCRIPT}", "a=1", 400),
    ]
