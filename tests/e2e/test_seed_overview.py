"""The seed's chapter "App Overview": events, extending, overriding, maintenance, several apps."""

from __future__ import annotations

import pytest
from live_service import eventually

pytestmark = pytest.mark.e2e

SERVE = """
    # serve.py
    import skitai
    import myapp
    import tfserver
    import atila_vue
    import theirs
    import mine

    if __name__ == '__main__':
        with skitai.preference () as pref:
            skitai.mount ('/tf', tfserver, pref, name = 'tfserver')
        with skitai.preference () as pref:
            pref.extends (atila_vue)
            skitai.mount ('/', myapp, pref, subscribe = ['tfserver'])
        with skitai.preference () as pref:
            pref.overrides (mine)
            skitai.mount ('/theirs', theirs, pref)

        skitai.run (port = 5000, name = 'overview')
"""

MYAPP = """
    # myapp/__init__.py
    import skitai
    from atila import Atila

    def __config__ (pref):
        pref.set_static ('/static', skitai.abspath ('myapp/static'))

    def __app__ ():
        app = Atila (__name__)
        app.config.MAINTAIN_INTERVAL = 0.02  # seconds, default is 60
        app.store.set ("num-nodes", 0) # thread safe store
        return app

    def load_my_models ():
        return ['model']

    def jobs_as_you_need (app, model_name):
        app.g.reloaded = model_name

    def __setup__ (app, mntopt):
        app.g.events = []

        # wherever in your app package,
        @app.on ('custom-event')
        def on_cusom_event (was, detail):
            app.g.events.append ('I got custom-event with detail: {}'.format (detail))

        @app.on ('before_mount')
        def on_before_mount (was):
            app.g.models = load_my_models ()

        for name in ('before_mount', 'mounted', 'mounted_or_reloaded', 'before_reload', 'reloaded'):
            @app.on (name)
            def on_life_cycle (was, name = name):
                app.g.events.append (name)

        # wherever in myapp,
        @app.on ('tfserver:model-reloaded')
        def on_tfserver_model_reloaded (was, model_name):
            jobs_as_you_need (app, model_name)

        @app.on ('cluster:num_nodes')
        def on_nodes (was, num_nodes):
            app.g.nodes = num_nodes

        @app.maintain (2, threading = False) # execute every 2 maintaining
        def maintain_num_nodes (was, now, count):
            num_nodes = app.g ["num-nodes"] + 1 if app.g ["num-nodes"] < 3 else 3
            app.g.counts = [*app.g.get ("counts", []), count]
            if app.g ["num-nodes"] != num_nodes:
                app.g ["num-nodes"] = num_nodes
                app.emit ("cluster:num_nodes", num_nodes)

        @app.maintain
        def maintain_always (was, now, count):
            app.g.always = count

    def __mount__ (app, mntopt):
        # wherever in your app package,
        @app.route ('/make_event')
        def make_event (was):
            app.emit ('custom-event', 'something')
            return "OK"

        @app.route ('/make_event_without_detail')
        def make_event_without_detail (was):
            app.emit ('custom-event')
            return "OK"

        @app.route ('/events')
        def events (was):
            return was.API (events = app.g.events, models = app.g.models)

        @app.route ('/reloaded')
        def reloaded (was):
            return was.API (reloaded = app.g.get ("reloaded"))

        @app.route ('/nodes')
        def nodes (was):
            return was.API (
                nodes = app.g.get ("nodes"), counts = app.g.get ("counts", []),
                always = app.g.get ("always", -1)
            )

        # wherever in myapp
        @app.route ('/loaded')
        def loaded (was):
            return '|'.join (was.g ['LOADED_MODELS'])

        @app.route ('/other')
        def other (was):
            other_app = was.apps ['tfserver']
            return was.API (name = other_app.name, url = was.urlfor ('tfserver:index'))

        @app.route ('/same')
        def same (was):
            return 'same of myapp'

        @app.route ('/page')
        def page (was):
            return was.render ('page.j2')
"""

TFSERVER = """
    # tfserver/__init__.py
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        # wherever in tfserver app
        @app.route ('/')
        def index (was):
            was.g ['LOADED_MODELS'] = ['a', 'b']
            return 'index of tfserver'

        @app.route ('/reload')
        def reload (was, model_name):
            app.emit ('tfserver:model-reloaded', model_name)
            return 'reloaded'
"""

EXTENDED = """
    # atila_vue/__init__.py
    def __config__ (pref):
        pref.config.FROM_VUE = True

    def __setup__ (app, mntopt):
        app.vue = 'set up'

    def __mount__ (app, mntopt):
        @app.route ('/vue')
        def vue (was):
            return was.API (vue = app.vue, config = app.config.FROM_VUE)

        @app.route ('/same')
        def same_of_vue (was):
            return 'same of atila_vue'

        @app.route ('/vue/page')
        def vue_page (was):
            return was.render ('vue.j2')
"""

SERVICES = """
    def __mount__ (app, mntopt):
        @app.route ('/')
        def index (was):
            return 'index of {name}'

        @app.route ('/{name}')
        def only_{name} (was):
            return 'only {name}'

        @app.route ('/page')
        def page (was):
            return was.render ('page.j2')

        @app.route ('/their-page')
        def their_page (was):
            return was.render ('theirs.j2')
"""


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once(
        {
            "serve.py": SERVE,
            "myapp/__init__.py": MYAPP,
            "myapp/templates/page.j2": "page of myapp",
            "myapp/static/own.txt": "own of myapp",
            "tfserver/__init__.py": TFSERVER,
            "atila_vue/__init__.py": EXTENDED,
            "atila_vue/templates/page.j2": "page of atila_vue",
            "atila_vue/templates/vue.j2": "vue page of atila_vue",
            "atila_vue/static/own.txt": "own of atila_vue",
            "atila_vue/static/vue.txt": "vue of atila_vue",
            "theirs/__init__.py": "from atila import Atila\n\ndef __app__ ():\n"
            "    return Atila (__name__)\n\ndef __setup__ (app, mntopt):\n"
            "    from . import services\n    app.mount ('/', services)\n",
            "theirs/services/__init__.py": SERVICES.replace("{name}", "theirs"),
            "theirs/templates/page.j2": "page of theirs",
            "theirs/templates/theirs.j2": "their page",
            "mine/__init__.py": SERVICES.replace("{name}", "mine"),
            "mine/templates/page.j2": "page of mine",
        },
    )


def text(service, path):
    response = service.get(path)
    assert response.status_code == 200, response.text
    return response.text


def test_event_bus(service):
    assert text(service, "/make_event") == "OK"
    events = service.get("/events").json()["events"]
    assert "I got custom-event with detail: something" in events


def test_a_handler_that_fails_is_only_logged(service):
    assert text(service, "/make_event_without_detail") == "OK"
    service.wait_for_log("on_cusom_event.* for event 'custom-event' failed")


def test_app_life_cycle_events(service):
    told = service.get("/events").json()
    assert told["models"] == ["model"]
    life = [event for event in told["events"] if not event.startswith("I got")]
    assert life == ["before_mount", "mounted", "mounted_or_reloaded"]


def test_extending(service):
    assert service.get("/vue").json() == {"vue": "set up", "config": True}
    # services, templates and static files which myapp hasn't
    assert text(service, "/same") == "same of myapp"
    assert text(service, "/page") == "page of myapp"
    assert text(service, "/vue/page") == "vue page of atila_vue"
    assert text(service, "/static/own.txt") == "own of myapp"
    assert text(service, "/static/vue.txt") == "vue of atila_vue"


def test_overriding(service):
    # services and templates of the same paths
    assert text(service, "/theirs/") == "index of mine"
    assert text(service, "/theirs/mine") == "only mine"
    assert text(service, "/theirs/theirs") == "only theirs"
    assert text(service, "/theirs/page") == "page of mine"
    assert text(service, "/theirs/their-page") == "their page"


def test_interval_base_app_maintenancing(service):
    told = eventually(
        lambda: (found := service.get("/nodes").json())["nodes"] == 3 and found, "three nodes"
    )
    assert told["counts"][:3] == [0, 2, 4]
    assert told["always"] >= 4


def test_event_subscription(service):
    assert text(service, "/tf/reload?model_name=mnist") == "reloaded"
    assert service.get("/reloaded").json() == {"reloaded": "mnist"}


def test_data_exchanging(service):
    assert text(service, "/tf/") == "index of tfserver"
    assert text(service, "/loaded") == "a|b"


def test_accessing_other_app_directly(service):
    assert service.get("/other").json() == {"name": "tfserver", "url": "/tf/"}
