"""The app of the seed's chapters "Making Response", "Template Engine" and "Helpers of 'was'"."""

from __future__ import annotations

KEY = "a secret for one-time passwords"

SERVE = f"""
    # serve.py
    import skitai
    import myapp

    if __name__ == '__main__':
        with skitai.preference () as pref:
            pref.securekey = {KEY!r}
            pref.set_static ('/static', 'myapp/static')
            skitai.mount ('/', myapp, pref)
        skitai.run (port = 5000, name = 'responses')
"""

MYAPP = """
    # myapp/__init__.py
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        from . import responses, templates, helpers
        app.mount ('/r', responses)
        app.mount ('/t', templates)
        app.mount ('/h', helpers)

    def __mount__ (app, mntopt):
        @app.default_error_handler
        def default_error_handler (was, error):
            return was.render ("errors/default.j2", error = error)

        @app.error_handler (404)
        def not_found (was, error):
            return was.render ('404.j2', error = error)
"""

RESPONSES = """
    # myapp/responses.py
    import time

    def iter_all_rows ():
        yield '1', 'a'
        yield '2', 'b'

    def __mount__ (app, mntopt):
        @app.route ("/response")
        def response (was):
            was.response.set_status ("201 Created")
            # add header even name is duplicated
            was.response.add_header ('X-Server', "skitai")
            was.response.add_header ('X-Server', "skitai")
            # if exists old, remote it and update new
            was.response.set_header ('X-Server', "skitai")
            assert was.response.get_header ('Accept', '') == ''
            was.response.set_header ('Accept', "text/plain")
            assert was.response.get_header ('accept', '') == 'text/plain'
            was.response.del_header ('Accept')
            # current response code and msg
            return "%s %s" % (was.response.status_code, was.response.reason)

        @app.route ("/etag")
        def etag (was):
            # etag based cache control
            # make sure CACHE_KEY is unique identifier for this resource
            was.response.set_etag ('CACHE_KEY', max_age = 3600)
            return "content"

        mtime = time.time () - 60

        @app.route ("/mtime")
        def mtime_ (was):
            # content modification time based cache control
            was.response.set_mtime (mtime, max_age = 3600)
            return "content"

        @app.route ("/max_age")
        def max_age (was):
            # set cache header as HTTP versions
            was.response.set_max_age (3600)
            return "content"

        @app.route ("/error/<int:n>")
        def error (was, n):
            if n == 1:
                raise was.Error ("400 Bad Request")
            if n == 2:
                raise was.Error ("400 Bad Request", "missing user ID")
            if n == 3:
                raise was.Error ("400 Bad Request", "missing user ID", 40011)
            return was.response ("404 Not Found")

        @app.route ("/string")
        def string (was):
            was.response.set_status ('200 OK')
            was.response.set_header ('X-Server', 'Skitai')
            return "hello"

        @app.route ("/api1")
        def api1 (was):
            return was.API ({'name': 'Hans Roh'})

        @app.route ("/api2")
        def api2 (was):
            return was.API (name = 'Hans Roh')

        @app.route ("/rendered")
        def rendered (was):
            return was.render ("hello.j2", name = 'Hans Roh')

        @app.route ("/render_or_api")
        def render_or_api (was):
            return was.render_or_API ("result.j2", result = [1, 2])

        @app.route ("/file")
        def file (was):
            return was.File ("myapp/data.xlsx")

        @app.route ("/file/named")
        def named (was):
            return was.File ("myapp/data.xlsx", 'application/octet-stream', 'data.xlsx')

        @app.route ("/logo")
        def logo (was):
            # by static file URL
            # resolved into was.static ("img/logo.png")
            return was.Static ("img/logo.png")

        @app.route ("/robots.txt")
        def robots (was):
            if app.debug:
                was.response ['Content-Type'] = 'text/plain'
                return "User-Agent: *\\nDisallow: /\\n"
            return was.Static ('/static/robots.real.txt')

        @app.route ("/csv")
        def build_csv (was):
          def generate ():
            for row in iter_all_rows ():
              yield ','.join (row) + '\\n'
          return was.response ("200 OK", generate (), headers = [("Content-Type", "text/csv")])

        @app.route ("/moved")
        def moved (was):
            return was.redirect (
                was.urlfor ("responses.showmsg", "Hans Roh"),
                status = "302 Object Moved"
            )

        @app.route ("/moved/static")
        def moved_static (was):
            return was.redirect (
                was.static ("index.html"),
                status = "302 Object Moved"
            )

        @app.route ("/showmsg")
        def showmsg (was, name):
            return name

        # XML/JSONRPC
        @app.route ('/add')
        def add (was, a, b):
            return a + b # int is serailizable
"""

TEMPLATES = """
    # myapp/templates.py
    def __setup__ (app, mntopt):
        app.add_jinja_ext ('jinja2.ext.i18n')
        # modify Jinja2 envrionment, through app.jinja_env object
        app.jinja_env.install_null_translations ()

        @app.template_global ('form_token')
        def generate_form_token ():
            return 'token'

        @app.template_global ('test_global')
        def test_global (was):
            return was.request.method

        @app.template_filter ("reverse")
        def reverse_filter (s):
            return s [::-1]

    def __mount__ (app, mntopt):
        @app.route ("/index")
        def index (was, **args):
            was.request.cookie.set ("username", "Hans")
            return was.render ("index.html", choice = 2, product = "Apples")

        @app.route ("/checkout")
        def checkout (was, choice):
            return choice

        @app.route ("/customised")
        def customised (was):
            return was.render ("customised.html")

        @app.route ("/crash")
        def crash (was):
            raise KeyError ("lost")
"""

HELPERS = """
    # myapp/helpers.py
    import time

    def __mount__ (app, mntopt):
        @app.route ("/log")
        def sum (was):
            was.log ("called index", "info")
            try:
                1 / 0
            except:
                was.log ("exception occured", "error")
                was.traceback ()
            was.log ("done index", "info")
            return was.txnid ()

        @app.route ("/form")
        def form (was):
            return was.render ("form.html")

        @app.before_request
        def before_request (was):
            if was.request.args.get ("username"):
                if not was.verify_csrf ():
                    return was.response ("400 Bad Request")

        @app.route ("/posted", methods = ["POST"])
        def posted (was, username, **form):
            return "posted by " + username

        @app.route ("/verified", methods = ["POST"])
        @app.csrf_verification_required
        def verified (was, **form):
            return "verified"

        @app.route ('/make_jwt')
        def make_jwt (was):
            t = was.encode_jwt ({'iss': 'example.com', 'exp': time.time () + 3600})
            return t

        @app.route ('/verify_token')
        def verify_jwt (was):
            claims = was.request.JWT
            if "err" in claims:
                return claims ["err"]
            return claims ['iss']

        def check_otp (was):
            if not was.verify_otp (was.request.get_header ('x-otp')):
                raise was.Error ('403 Unauthorized')

        @app.route ('/admin-task')
        @app.testpass_required (check_otp)
        def task (was):
            return "done"

        @app.route ('/password-reset')
        def password_reset (was, name = None, token = None):
            if was.request.args.get ('name'):
                username = "hans"
                token = was.encode_ott (username, 3600, "pwrset") # valid within 1 hour
                pw_reset_url = was.urlfor ('helpers.password_reset', token = token)
                # send email
                return pw_reset_url

            if was.request.args.get ('token'):
                username = was.decode_ott (was.request.args ['token'])
                if not username:
                    return was.response ('400 Bad Request')
                # processing password reset
                # if processing is done and for revoke token,
                was.revoke_ott (token)
                return username
"""

INDEX = """\
{{ request.cookie.username }} choices item {{ request.args.get ("choice", "N/A") }}.
<a href="{{ was.urlfor ('templates.checkout', context.choice) }}">Proceed</a>
{{ product }} {{ app.name }} {{ response.status_code }}
"""

CUSTOMISED = """\
{{ test_global () }} {{ form_token () }} {{ "Hello" | reverse }} {% trans %}word{% endtrans %}
{% set rows = [] %}
{% do rows.append (1) %}
{% for n in [1, 2, 3] %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}
"""

DEFAULT_ERROR = """\
<!-- errors/default.j2 -->
<h1>{{ error.code }} {{ error.message }}</h1>
<p>{{ error.detail }}</p>
<hr>
<div>URL: {{ error.url }}</div>
<div>Time: {{ error.time }}</div>
"""

FORM = """\
  <form>
  {{ was.csrf_token_input }}
  </form>
"""

FILES = {
    "serve.py": SERVE,
    "myapp/__init__.py": MYAPP,
    "myapp/responses.py": RESPONSES,
    "myapp/templates.py": TEMPLATES,
    "myapp/helpers.py": HELPERS,
    "myapp/data.xlsx": b"\x00data",
    "myapp/static/img/logo.png": b"\x89PNG",
    "myapp/static/robots.real.txt": "User-Agent: *\n",
    "myapp/static/index.html": "index",
    "myapp/templates/hello.j2": "<!-- hello.j2 -->\n<h1>Hello {{ context.name }}</h1>",
    "myapp/templates/result.j2": "{{ result }}",
    "myapp/templates/index.html": INDEX,
    "myapp/templates/customised.html": CUSTOMISED,
    "myapp/templates/form.html": FORM,
    "myapp/templates/errors/default.j2": DEFAULT_ERROR,
    "myapp/templates/404.j2": "nothing at {{ error.url }}",
}
