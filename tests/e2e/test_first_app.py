"""The seed's chapter "First App": every listing as a file, started by `python serve.py`."""

from __future__ import annotations

import psutil
import pytest

pytestmark = pytest.mark.e2e

OPENING = """
    # serve.py
    from atila import Atila

    app = Atila (__name__)

    @app.route ("/")
    def index (was):
        return "Hello, World"

    if __name__ == "__main__":
        import skitai
        skitai.mount ("/", app)
        skitai.run (port = 5000)
"""

LAUNCH_SCRIPT = """
    # serve.py
    import skitai
    import myapp

    if __name__ == '__main__':
        with skitai.preference () as pref:
            skitai.mount ('/', myapp, pref)

        skitai.run (port = 5000, name = 'mtapp')
"""

CREATE_APP = """
    # myapp/__init__.py
    import skitai
    from atila import Atila

    def __config__ (pref):
        # mount / to myapp/static and app.STATIC_URL will be set to '/'
        # skitai.abspath () will join path with location of serve.py
        # DO NOT use os.path.abspath (__file__), it is not reliable
        pref.set_static ('/', skitai.abspath ('myapp/static'))

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.route ('/')
        def index (was):
            return 'Index Page'

        @app.route ('/sub')
        def sub (was):
            return 'Sub Page'
"""

TEMPLATE = """\
<!-- myapp/templates/index.j2 -->
<html>
    <head><title>My App</title></head>
    <body>
        <h1>Index Page</h1>
    </body>
</html>
"""

TEMPLATED_APP = """
    import skitai
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.route ('/')
        def index (was):
            return was.render ('index.j2')
"""

CASCADED_APP = """
    # myapp/__init__.py
    # remove __mount__ ()
    import skitai
    from atila import Atila

    def __config__ (pref):
        pref.set_static ('/', skitai.abspath ('myapp/static'))

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        from . import services
        app.mount ('/', services)
"""

SERVICES = """
    # NEW myapp/services/__init__.py
    def __mount__ (app, mntopt):
        @app.route ('/')
        def index (was):
            return 'Index Page'

        @app.route ('/sub')
        def sub (was):
            return 'Sub Page'
"""

SERVICES_WITH_SUB_MODULE = """
    # modify myapp/services/__init__.py
    # add __setup__ hook
    def __setup__ (app, mntopt):
        from . import sub
        app.mount ('/sub', sub)

    def __mount__ (app, mntopt):
        @app.route ('/')
        def index (was):
            return 'Index Page'
"""

SUB_MODULE = """
    # NEW myapp/services/sub.py
    def __mount__ (app, mntopt):
        # make sure blank path for accessing '/sub'
        # if '/', accessable URL become '/sub/'
        @app.route ('')
        def sub (was):
            return 'Sub Page'
"""

SERVICES_WITH_SUB_PACKAGE = """
    # modify __setup__ of myapp/services/__init__.py
    def __setup__ (app, mntopt):
        from . import sub
        from . import sub2

        app.mount ('/sub', sub)
        app.mount ('/sub2', sub2)

    def __mount__ (app, mntopt):
        @app.route ('/')
        def index (was):
            return 'Index Page'
"""

SUB_PACKAGE = """
    # NEW myapp/services/sub2/__init__.py
    def __setup__ (app, mntopt):
        from . import pages
        app.mount ("/sub2/pages", pages)
"""

PAGES = """
    # NEW myapp/services/sub2/pages.py
    def __mount__ (app, mntopt):
        @app.route ('') # /sub2/pages
        def pages (was):
            return 'Pages'

        @app.route ('/1') # /sub2/pages/1
        def page1 (was):
            return 'Page1'
"""

FINAL_STRUCTURE = {
    "serve.py": LAUNCH_SCRIPT,
    "myapp/__init__.py": CASCADED_APP,
    "myapp/static/robots.txt": "User-agent: *\n",
    "myapp/templates/index.j2": TEMPLATE,
    "myapp/services/__init__.py": SERVICES_WITH_SUB_PACKAGE,
    "myapp/services/sub.py": SUB_MODULE,
    "myapp/services/sub2/__init__.py": SUB_PACKAGE,
    "myapp/services/sub2/pages.py": PAGES,
}


def title(service):
    return " ".join(psutil.Process(service.pid).cmdline()).strip()


def test_the_opening_ten_lines(launch):
    service = launch({"serve.py": OPENING})
    response = service.get("/")
    assert (response.status_code, response.text) == (200, "Hello, World")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert service.get("/elsewhere").status_code == 404
    assert service.client.put("/").status_code == 405
    service.client.stop()
    assert service.wait() == 0


def test_launch_script_and_created_app(launch):
    service = launch(
        {
            "serve.py": LAUNCH_SCRIPT,
            "myapp/__init__.py": CREATE_APP,
            "myapp/static/robots.txt": "User-agent: *\n",
        },
        devel=True,
    )
    assert title(service) == "mtapp:m"
    assert service.get("/").text == "Index Page"
    assert service.get("/sub").text == "Sub Page"
    assert service.get("/robots.txt").text == "User-agent: *\n"


def test_a_static_file_outranks_a_route(launch):
    service = launch(
        {
            "serve.py": LAUNCH_SCRIPT,
            "myapp/__init__.py": CREATE_APP,
            "myapp/static/index.html": "<h1>from the disk</h1>",
            "myapp/static/sub": "a file without a suffix",
        }
    )
    response = service.get("/")
    assert response.text == "<h1>from the disk</h1>"
    assert "ETag" in response.headers
    assert service.get("/sub").text == "a file without a suffix"
    # Files answer GET and HEAD, everything else is the route's.
    assert service.client.post("/").text == "Index Page"
    # The route is there as long as the file is not.
    (service.folder / "myapp/static/sub").unlink()
    assert service.get("/sub").text == "Sub Page"


def test_templates(launch):
    service = launch(
        {
            "serve.py": LAUNCH_SCRIPT,
            "myapp/__init__.py": TEMPLATED_APP,
            "myapp/templates/index.j2": TEMPLATE,
        }
    )
    response = service.get("/")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.text == TEMPLATE.rstrip("\n")


def test_cascaded_service_mount(launch):
    service = launch(
        {
            "serve.py": LAUNCH_SCRIPT,
            "myapp/__init__.py": CASCADED_APP,
            "myapp/static/robots.txt": "User-agent: *\n",
            "myapp/services/__init__.py": SERVICES,
        }
    )
    assert service.get("/").text == "Index Page"
    assert service.get("/sub").text == "Sub Page"
    assert service.get("/robots.txt").status_code == 200


def test_separate_sub_module(launch):
    service = launch(
        {
            "serve.py": LAUNCH_SCRIPT,
            "myapp/__init__.py": CASCADED_APP,
            "myapp/static/robots.txt": "User-agent: *\n",
            "myapp/services/__init__.py": SERVICES_WITH_SUB_MODULE,
            "myapp/services/sub.py": SUB_MODULE,
        }
    )
    assert service.get("/").text == "Index Page"
    assert service.get("/sub").text == "Sub Page"
    assert service.get("/sub/").status_code == 404


def test_sub_package_and_final_structure(launch):
    service = launch(FINAL_STRUCTURE, devel=True)
    answers = {
        path: service.get(path).text
        for path in ("/", "/sub", "/sub2/pages", "/sub2/pages/1", "/robots.txt")
    }
    assert answers == {
        "/": "Index Page",
        "/sub": "Sub Page",
        "/sub2/pages": "Pages",
        "/sub2/pages/1": "Page1",
        "/robots.txt": "User-agent: *\n",
    }
    for path in ("/sub2", "/sub2/sub2/pages", "/pages", "/sub2/pages/2"):
        assert service.get(path).status_code == 404, path


def test_a_slash_route_of_a_sub_module_has_the_slash_in_its_url(launch):
    slashed = SUB_MODULE.replace("@app.route ('')", "@app.route ('/')")
    service = launch({**FINAL_STRUCTURE, "myapp/services/sub.py": slashed})
    response = service.get("/sub/", allow_redirects=False)
    assert (response.status_code, response.text) == (200, "Sub Page")
    response = service.get("/sub?a=1", allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (301, "/sub/?a=1")


def test_umount_runs_once_in_each_worker_at_its_end(launch):
    bye = """
    def __umount__ (app): # NO mntopt argument
        print ('bye...')
    """
    service = launch(
        {"serve.py": LAUNCH_SCRIPT, "myapp/__init__.py": TEMPLATED_APP + bye,
         "myapp/templates/index.j2": TEMPLATE},
        workers=3,
    )  # fmt: skip
    assert service.get("/").status_code == 200
    assert "bye..." not in service.log()
    service.client.stop()
    assert service.log().count("bye...") == 3


def test_more_about_preference(launch, tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    (media / "photo.txt").write_text("a photo")
    service = launch(
        {
            "serve.py": f"""
                import skitai
                import myapp

                if __name__ == '__main__':
                    with skitai.preference () as pref:
                        pref.set_static ('/static', 'myapp/static')
                        pref.set_media ('/media', {str(media)!r})
                        pref.config.MAX_UPLOAD_SIZE = 1024
                        pref.config.MAINTAIN_INTERVAL = 60
                        pref.config.GREETING = "from the config"
                        pref.greeting = "from the attribute"
                        skitai.mount ('/', myapp, pref)

                    skitai.run (port = '5000', name = 'mtapp')
            """,
            "myapp/__init__.py": """
                from atila import Atila

                def __app__ ():
                    app = Atila (__name__)
                    app.greeting = "from the app"
                    return app

                def __mount__ (app, mntopt):
                    @app.route ("/")
                    def index (was):
                        config = was.app.config
                        return was.API (
                            greetings = [was.app.greeting, config.GREETING, config ["GREETING"]],
                            limits = [config.MAX_UPLOAD_SIZE, config.MAINTAIN_INTERVAL],
                            urls = [was.static ("a.css"), was.media ("photo.txt")],
                        )
            """,
            "myapp/static/a.css": "a {}",
        }
    )
    facts = service.get("/").json()
    assert facts == {
        "greetings": ["from the attribute", "from the config", "from the config"],
        "limits": [1024, 60],
        "urls": ["/static/a.css", "/media/photo.txt"],
    }
    assert [service.get(url).text for url in facts["urls"]] == ["a {}", "a photo"]
    assert service.client.post("/", b"x" * 1024).status_code == 200
    assert service.client.post("/", b"x" * 1025).status_code == 413
