"""The apps of the seed's chapter "Processing Request", as files of one project."""

from __future__ import annotations

SERVE = """
    # serve.py
    import skitai
    import myapp
    import chained
    import pipes

    if __name__ == '__main__':
        with skitai.preference () as pref:
            pref.securekey = "ds8fdsflksdjf9879dsf;?<>Asda"
            pref.session_timeout = 1200 # sec
            skitai.mount ('/', myapp, pref)
            skitai.mount ('/chained', chained, pref)
            skitai.mount ('/pipes', pipes, pref)
        skitai.run (port = 5000, name = 'requests')
"""

HOOKS = """
    # myapp/__init__.py
    import re
    import time
    from datetime import datetime as dt
    from atila import Atila

    class resource:
        opened = []

        @classmethod
        def open (cls):
            cls.opened.append (1)
            return 'opened'

        @classmethod
        def close (cls):
            cls.opened.pop ()
            return 'closed'

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        from . import parameters, state, helpers
        app.mount ('/p', parameters)
        app.mount ('/s', state)
        app.mount ('/h', helpers)

        @app.on ('before_mount')
        def on_before_mount (was):
            app.g ['TOTAL_REQUEST'] = 0
            app.g ['FAILED_REQUEST'] = 0
            app.g ['SUCCES_REQUEST'] = 0
            app.g ['EVENTS'] = []

        @app.before_request
        def before_request (was):
            app.g ['TOTAL_REQUEST'] += 1
            was.request.g ['RESOURCE'] = resource.open ()
            was.request.g ['START'] = time.time ()

        @app.finish_request
        def finish_request (was, response): # response
            app.g ['SUCCES_REQUEST'] += 1
            # return new response or None

        @app.failed_request
        def failed_request (was, expt): # expt is sys.exc_info ()
            app.g ['FAILED_REQUEST'] += 1
            app.g ['LAST'] = expt [0].__name__

        # called wahterver success or fail
        # clear resources
        @app.teardown_request
        def teardown_request (was): # no args
            was.request.g ['RESOURCE'] = resource.close ()
            was.log ('processing time: {:.5f} seconds.'.format (
                time.time () - was.request.g ['START']
            ))

        @app.on ('before_request')
        def on_before_request (was):
            app.g.EVENTS.append ('before_request')

        @app.on ('finish_request')
        def on_finish_request (was, response):
            app.g.EVENTS.append ('finish_request')

        @app.on ('failed_request')
        def on_failed_request (was, expt):
            app.g.EVENTS.append ('failed_request')
            raise RuntimeError ('If event handling is failed, just logged traceback information')

        @app.on ('teardown_request')
        def on_teardown_request (was):
            app.g.EVENTS.append ('teardown_request')

    def __mount__ (app, mntopt):
        @app.route ("/works")
        def works (was):
            return was.request.g ['RESOURCE']

        @app.route ("/fails")
        def fails (was):
            1 / 0

        @app.route ("/counts")
        def counts (was):
            events, app.g.EVENTS = app.g.EVENTS, []
            return was.API (
                total = app.g ['TOTAL_REQUEST'], failed = app.g ['FAILED_REQUEST'],
                success = app.g ['SUCCES_REQUEST'], last = app.g.get ('LAST'), events = events,
                opened = len (resource.opened)
            )
"""

CHAINED = """
    # chained/__init__.py
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def something_is_wrong (was):
        return "wrong" in was.request.args

    class JWTTokenChecker:
        def __call__ (self, was):
            if something_is_wrong (was):
                raise was.Error ("400 Bad Request")

    class PermissionHandler:
        def __call__ (self, was):
            if "stop" in was.request.args:
                return "stopped"

    def __setup__ (app, mntopt):
        PREPROCESSORS = [
            JWTTokenChecker (),
            PermissionHandler ()
        ]
        @app.before_request
        def before_request (was):
            for p in PREPROCESSORS:
                response = p (was)
                if response:
                    return response

        @app.finish_request
        def finish_request (was, response):
            was.response.add_header ('X-Custom', 'some-value')
            return response + "--"

    def __mount__ (app, mntopt):
        @app.route ("/")
        def index (was, **args):
            return "index"
"""

PARAMETERS = """
    # myapp/parameters.py
    import re
    from datetime import datetime as dt

    def __mount__ (app, mntopt):
        @app.route ("/object/<int:id>", methods = ["GET", "POST"], custom = 1)
        def object (was, id, **args):
            request = was.request
            return was.API (
                method = request.method, uri = request.uri, version = request.version,
                scheme = request.scheme, args = request.args, env = request.env ["PATH_INFO"],
                g = request.g ['RESOURCE'], split = request.split_uri (),
                header = request.get_header ("content-type"), headers = request.get_headers (),
                body = request.get_body ().decode (), remote_addr = request.get_remote_addr (),
                user_agent = request.get_user_agent (), content_type = request.get_content_type (),
                main_type = request.get_main_type (), sub_type = request.get_sub_type (),
                routed = request.routed is object, routable = {
                    key: request.routable [key] for key in ("methods", "content_types", "mntopt")
                }, options = request.routable ['options'], agent = was.env.get (
                    'HTTP_USER_AGENT', 'Unknown Agent')
            )

        @app.route ("/hello-get", methods = ["GET"]) #if not match response 405
        def hello_get (was):
            return was.render ("hello.j2", name = "get")

        #if not match response 406
        @app.route ("/hello-json", content_types = ["application/json"])
        def hello_json (was, **DATA):
            return was.API (DATA)

        @app.route ("/hello", methods = ["POST", "OPTIONS"])
        def hello_world (was, name, birth_year, gender = None):
            return was.render ("hello.j2", name = name, birth_year = birth_year, gender = gender)

        @app.route ("/hello-data", methods = ["POST", "OPTIONS"])
        def hello_data (was, name, **DATA):
            return was.render ("hello.j2", name = name, DATA = DATA)

        @app.route ("/profiles/<int:id>", methods = ["GET"])
        def profile (was, id = None, detail = 'yes'):
            assert was.request.args ['id'] == id
            assert was.request.args ['detail'] == detail
            return was.render ("profile.j2", id = id, detail = detail)

        @app.route ("/required/<int:id>", methods = ["GET"])
        def required (was, id, detail = 'yes'):
            return was.API (id = id, detail = detail)

        @app.route ("/conflicts/<int:id>", methods = ["GET", "POST"])
        def conflicts (was, id):
            return was.API (id = id)

        @app.route ("/inspected/<int:id>", methods = ["GET"])
        @app.inspect (ints = ['id'], booleans = ['detail'])
        def inspected (was, id = None, detail = False):
            return was.API (id = id, detail = detail)

        @app.route ("/signup", methods = ["POST"])
        @app.inspect (
            strings = ['name', 'gender'], notags = ['resume'], nones = ['gender', 'birth_year'],
            booleans = ['detail'], oneof = ['email', 'mobile'], emails = ['email'],
            birth_year = int, mobile = re.compile ('[0-9]{3}-[0-9]{3}-[0-9]{4}'),
            birth_year__between = (1900, dt.now ().year),
            gender__in = ['male', 'female', 'not-determine'],
            name__len__lte = 64, name__len__gt = 3, name__len__between = (3, 64)
        )
        def signup (was, name, gender = None, birth_year = None, resume = '', detail = False,
                    email = None, mobile = None):
            return was.API (
                name = name, gender = gender, birth_year = birth_year, resume = resume,
                detail = detail, email = email, mobile = mobile
            )

        @app.route ("/safe", methods = ["POST"])
        @app.inspect (safes = ['resume'])
        def safe (was, resume):
            return resume

        @app.route ("/upload", methods = ['POST'])
        def upload (was, file, into):
            file.save (into, dup = "o")
            with file.as_flashfile () as path:
                copied = open (path).read ()
            return was.API (
                path = file.path, name = file.name, size = file.size, mimetype = file.mimetype,
                ext = file.ext, read = file.read ().decode (), copied = copied
            )
"""

STATE = """
    # myapp/state.py
    def __mount__ (app, mntopt):
        @app.route ("/cookie")
        def cookie (was):
            if "user_id" not in was.cookie:
                was.request.cookie.set ("user_id", "hansroh")
                # or
                was.request.cookie ["user_id"] = "hansroh"
                return "set"
            return was.cookie ["user_id"]

        @app.route ("/cookie/set")
        def set_cookie (was, key, val):
            was.cookie.set (
                key, val,
                expires = None,
                path = None, domain = None,
                secure = False, http_only = False
              )
            was.cookie.set ("gone", "x", expires = 0)
            was.cookie.set ("long", "x", expires = 'never', http_only = True)
            return "OK"

        @app.route ("/session")
        def hello_world (was, **form):
            if "login" not in was.session:
                was.session.set ("user_id", form.get ("hansroh"))
                # or
                was.session ["user_id"] = form.get ("hansroh")
            return was.API (user_id = was.session ["user_id"], impending = was.session.impending ())

        @app.route ("/session/read")
        def read (was):
            return was.API (user_id = was.session.get ("user_id"))

        @app.route ("/session/expiry")
        def expiry (was, seconds):
            was.session ["x"] = 1
            was.session.set_expiry (int (seconds))
            return was.API (use_time = was.session.use_time ())

        @app.route ("/session/touch")
        def touch (was):
            was.session.touch ()
            return "touched"

        @app.route ("/session/expire")
        def expire (was):
            was.session.expire ()
            return "expired"

        @app.route ("/namespaced")
        def index (was):
            was.session.mount ("ADMIN", path = '/s')
            was.session.set ("login", True)
            was.session.mount () # resore to default session
            return was.API (login = was.session.get ("login"))

        @app.route ("/namespaced/read")
        def read_namespaced (was):
            was.session.mount ("ADMIN", path = '/s')
            return was.API (login = was.session.get ("login"))

        @app.route ("/msg")
        def msg (was):
            was.mbox.send ("This is Flash Message", "flash")
            was.mbox.send (
                "This is Alert Message Kept by 60 seconds on every request", "alram", valid = 60)
            return was.redirect (was.urlfor (showmsg, "Hans Roh"), status = "302 Object Moved")

        @app.route ("/showmsg")
        def showmsg (was, name):
            return was.render ("msg.htm", name=name)

        @app.route ("/mbox")
        def mbox (was, key = None, val = None):
            if key is None:
                was.mbox.send ("about 1", "news", 60, item = 1)
                was.mbox.send ("about 2", "news", 60, item = 2)
                return was.API (found = was.mbox.search ("item", 2))
            messages = was.mbox.get (key, int (val))
            was.mbox.remove (messages [0].id)
            return was.API (found = [m.msg for m in messages], left = len (was.mbox.get ("news")))
"""

HELPERS = """
    # myapp/helpers.py
    import os
    config = os.path.join (os.path.dirname (__file__), "config")

    def __mount__ (app, mntopt):
        class User:
            def __init__ (self, name):
                self.name = name

        def is_superuser (was):
            was.request.user = User (was.request.args ["name"])
            if was.request.user.name not in ('admin', 'root'):
                return was.response ("403 Permission Denied")

        @app.route ("/profile")
        @app.testpass_required (is_superuser)
        def modify_profile (was, name):
            return "modified"

        @app.route ("/refused")
        @app.testpass_required (lambda was: False)
        def refused (was):
            return "never"

        def reload_config (was, path):
            app.g.config = open (path).read ()

        @app.route ("/config")
        @app.if_file_modified (config, reload_config, interval = 0)
        def index (was):
            return app.g.config

        def pre1 (was):
            was.request.g.done = ['pre1']

        def pre2 (was):
            was.request.g.done.append ('pre2')
            if was.request.args.get ('stop'):
                return 'aborted by pre2'

        def post1 (was):
            app.g.done = was.request.g.done + ['post1']
            return 'ignored'

        @app.route ('/chain')
        @app.run_before (pre1, pre2)
        @app.run_after (post1)
        def chain (was, stop = None):
            was.request.g.done.append ('chain')
            return 'chained'

        @app.route ('/done')
        def done (was):
            return '|'.join (app.g.done)

        @app.route ('/index')
        def urls (was):
            return was.API (urls = [
                was.static ('img/logo.png'),
                was.urlfor ("pipes:index"),
                was.urlfor ("pipes:sub.pages.toc", 1),
                was.urlfor ("pipes:sub.pages.toc", chapter = 1),
                was.urlfor ("/index.htm"), # hard coded absolute URL, MUST start with /
            ])
"""

PIPES = """
    # pipes/__init__.py
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        from . import services
        app.mount ('/', services)
"""

PIPE_SERVICES = """
    # services/__init__.py
    def __setup__ (app, mntopt):
        from . import sub
        app.mount ('/', sub)

    def __mount__ (app, mntopt):
        @app.route ("/1")
        @app.inspect (offset = int)
        def index (was, offset = 1):
            return was.API (result = offset)

        @app.route ("/2")
        def index2 (was):
            return was.pipe (index)

        @app.route ("/3")
        def index3 (was):
            return was.pipe (index, offset = 4)

        @app.route ("/4")
        def index4 (was):
            return was.pipe ('index', offset = 't')

        @app.route ("/5")
        def index5 (was):
            return was.pipe ('sub.pages.toc', chapter = 5)
"""

PIPE_SUB = """
    # services/sub/__init__.py
    def __setup__ (app, mntopt):
        from . import pages
        app.mount ('/', pages)
"""

PIPE_PAGES = """
    # services/sub/pages.py
    def __mount__ (app, mntopt):
        @app.route ("/pages/toc/<int:chapter>")
        def toc (was, chapter):
            return "Page tOC Chapter {}".format (chapter)
"""

MESSAGES = """\
<ul>
    {% for mid, category, created, valid, msg, extra in was.mbox.get () %}
      <li class="{{category}}"> {{ msg }}</li>
    {% endfor %}
</ul>{{ name }}
"""


FILES = {
    "serve.py": SERVE,
    "myapp/__init__.py": HOOKS,
    "myapp/parameters.py": PARAMETERS,
    "myapp/state.py": STATE,
    "myapp/helpers.py": HELPERS,
    "myapp/config": "first",
    "myapp/templates/hello.j2": "{{ name }} {{ birth_year }} {{ gender }} {{ DATA }}",
    "myapp/templates/profile.j2": "<li>{{ context.id }} is {{ request.args.id }}</li>",
    "myapp/templates/msg.htm": MESSAGES,
    "chained/__init__.py": CHAINED,
    "pipes/__init__.py": PIPES,
    "pipes/services/__init__.py": PIPE_SERVICES,
    "pipes/services/sub/__init__.py": PIPE_SUB,
    "pipes/services/sub/pages.py": PIPE_PAGES,
}
