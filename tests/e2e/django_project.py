"""A project with an Atila app and a Django project, which share models and database."""

from __future__ import annotations

SERVE = """
    import os
    import skitai
    from atila.patches import djangopatch

    if __name__ == "__main__":
        djangopatch.setup("project/mysite/settings")
        skitai.alias("@rdb", skitai.DJANGO, "project/mysite/settings.py")
        for point, directory in djangopatch.static_directories():
            skitai.mount(point, directory)
        skitai.mount("/admin", "project/mysite/wsgi")
        skitai.mount("/", "app")
        skitai.run(address="127.0.0.1", trusted_proxies="127.0.0.1")
"""

SETTINGS = """
    import json, os
    from pathlib import Path

    HERE = Path(__file__).parents[1]
    SECRET_KEY = "a secret of the tests"
    ALLOWED_HOSTS = ["127.0.0.1", "shop.example"]
    ROOT_URLCONF = "mysite.urls"
    INSTALLED_APPS = [
        "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
        "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles",
        "firebase_vue",
    ]
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    TEMPLATES = [{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]},
    }]
    DATABASES = {"default": json.loads((HERE / "database.json").read_text())}
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    STATIC_URL = "/static/"
    USE_TZ = True
    LOGGING = {
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"]},
    }
"""

URLS = """
    from django.contrib import admin
    from django.urls import path

    urlpatterns = [path("", admin.site.urls)]
"""

MODELS = """
    import uuid
    from django.db import models
    from atila.patches.djangopatch import Model

    class User(Model):
        uid = models.CharField(max_length=32)
        email = models.EmailField(max_length=64, null=True, blank=True)
        nick_name = models.CharField(max_length=16, null=True, blank=True)

        lev = models.CharField(
            max_length=16, default="user",
            choices=[("guest", "guest"), ("user", "user"), ("staff", "staff")],
        )
        status = models.CharField(max_length=16, null=True, blank=True)
        created = models.DateTimeField(auto_now_add=True)
        last_updated = models.DateTimeField(auto_now=True)

        class Meta:
            proxy = False
            managed = True
            db_table = "firebase_user"
            verbose_name = "User"
            verbose_name_plural = "Users"

        def __str__(self):
            return "{}".format(self.nick_name)

    class UserLog(Model):
        user = models.ForeignKey(User, on_delete=models.CASCADE)
        key = models.UUIDField(default=uuid.uuid4)
        action = models.CharField(max_length=8)
        data = models.JSONField(null=True)
        took = models.DurationField(null=True)
        price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
        done = models.BooleanField(default=False)
        at = models.DateTimeField(null=True)
"""

ADMIN = """
    from django.contrib import admin
    from .models import User

    @admin.register(User)
    class UserAdmin(admin.ModelAdmin):
        list_display = ["uid", "nick_name", "lev"]
"""

# As in the seed, but for the blanks.
SERVICES = """
    from firebase_vue.models import User, UserLog

    class UserService:
        @classmethod
        def _get_id(cls, uid):
            return User.get(uid=uid).get("id")

        # basic ops ------------------------------
        @classmethod
        def get(cls, uid=None, nick_name=None):
            assert uid or nick_name, "uid or nick_name required"
            return User.get(uid=uid, nick_name=nick_name).execute()

        @classmethod
        def add(cls, uid, payload):
            payload["uid"] = uid
            return User.add(payload).returning("*").execute()

        @classmethod
        def set(cls, uid, payload):
            return User.set(payload, uid=uid).returning("*").execute()

        @classmethod
        def delete(cls, uid):
            return (User.remove(uid=uid)
                        .with_(UserLog.remove(user_id=cls._get_id(uid)))
                   ).execute()
"""

APP = """
    import asyncio
    import uuid
    from datetime import datetime, timedelta, timezone
    from decimal import Decimal

    from atila import Atila, F, Q
    from django.core.exceptions import ValidationError
    from firebase_vue.models import User, UserLog
    from services import UserService

    app = Atila(__name__)
    KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")
    AT = datetime(2026, 5, 1, 12, 0, 0, 250000, tzinfo=timezone(timedelta(hours=2)))
    LOG = dict(action="in", key=KEY, data=[1, {"a": None}], took=timedelta(seconds=1.5),
               price=Decimal("9.90"), done=True, at=AT)

    @app.route("/users", methods=["GET", "POST", "PATCH", "DELETE"])
    def users(was, uid=None, nick_name=None, **payload):
        try:
            if was.request.method == "POST":
                return was.API(user=UserService.add(uid, {"nick_name": nick_name}).one())
            if was.request.method == "PATCH":
                return was.API(user=UserService.set(uid, {"nick_name": nick_name}).one())
            if was.request.method == "DELETE":
                UserService.delete(uid).commit()
                return was.API("204 No Content")
        except ValidationError as exc:
            return was.API("400 Bad Request", errors=exc.message_dict)
        return was.API(users=UserService.get(uid, nick_name).fetch())

    @app.route("/async/<uid>")
    async def coroutine(was, uid):
        task = await UserService.get(uid)
        return was.API(users=task.fetch())

    @app.route("/yielding/<uid>", coroutine=True)
    def generator(was, uid):
        task = yield UserService.get(uid)
        return was.API(users=task.fetch())

    @app.route("/in-thread/<uid>")
    def in_thread(was, uid):
        return was.API(users=was.Thread(lambda: UserService.get(uid).fetch()).fetch())

    @app.route("/logs", methods=["POST"])
    def add_log(was, uid):
        UserLog.add(LOG, user=UserService._get_id(uid)).execute().commit()
        return was.API()

    @app.route("/logs/by-django")
    def read_by_django(was):
        [log] = UserLog.objects.all()
        same = {name: getattr(log, name) == value for name, value in LOG.items()}
        return was.API(same=same, user=log.user.uid)

    @app.route("/logs/written-by-django")
    def write_by_django(was, uid):
        UserLog.objects.all().delete()
        log = UserLog.objects.create(user=User.objects.get(uid=uid), **LOG)
        found = {}
        for name, value in LOG.items():
            if name not in ("data", "price"):
                found[name] = len(UserLog.get(**{name: value}).execute().fetch())
        found["in"] = len(UserLog.get(key__in=[KEY, uuid.uuid4()]).execute().fetch())
        found["q"] = len(UserLog.get(Q(key=KEY) & ~Q(at__gt=AT), user=log.user).execute().fetch())
        found["pk"] = len(UserLog.get(log.pk).execute().fetch())
        found["object"] = len(UserLog.get(log).execute().fetch())
        return was.API(found=found)

    @app.route("/move")
    def move(was, uid):
        with User.transaction() as tx:
            tx.execute(User.set({"lev": "staff"}, uid=uid))
            tx.execute(User.set({"status": "x"}, uid=uid))
            tx.rollback()
            tx.execute(User.set({"lev": "guest"}, uid=uid))
            tx.commit()
        [row] = User.get(uid=uid).get("lev, status").execute().fetch()
        return was.API(row)

    @app.route("/joined")
    def joined(was, uid):
        logs = UserLog.alias("l").join(User, "u", "u.id = l.user_id").get("this.user, u.uid")
        recent = UserLog.get(action="in").get("user")
        return was.API(
            joined=logs.filter(u__uid=uid).order_by("-this.user").execute().fetch(),
            cte=User.with_("recent", recent).get(F("id IN (SELECT user_id FROM recent)"))
                .get("uid").execute().fetch(),
            latest=User.fromcte("new").with_("new", User.get(uid=uid)).get("uid").execute().fetch(),
            updated=UserLog.set({"action": "out"}, this__user=UserService._get_id(uid))
                .returning("user, action").execute().fetch(),
        )

    @app.route("/upsert")
    def upsert(was, uid):
        rows = [{"uid": uid, "id": 1000}, {"uid": uid + "2", "id": 1001}]
        User.add(rows).execute().commit()
        User.add(rows[0]).upflict("pk", nick_name="again").execute().commit()
        found = User.get(Q(uid=uid) | Q(pk=1001)).order_by("pk").execute().fetch()
        return was.API(found=[[row.id, row.uid, row.nick_name] for row in found])
"""

# Makes tables and an administrator, in one process.
PREPARE = """
    import os, sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent / "project"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"

    import django
    django.setup()
    from django.core.management import call_command
    from django.contrib.auth.models import User

    call_command("migrate", run_syncdb=True, verbosity=0)
    User.objects.create_superuser("boss", "boss@example.com", "very secret")
"""

FILES: dict[str, str | bytes] = {
    "serve.py": SERVE,
    "app.py": APP,
    "services.py": SERVICES,
    "prepare.py": PREPARE,
    "project/mysite/__init__.py": "",
    "project/mysite/settings.py": SETTINGS,
    "project/mysite/urls.py": URLS,
    "project/mysite/wsgi.py": (
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    ),
    "project/firebase_vue/__init__.py": "",
    "project/firebase_vue/models.py": MODELS,
    "project/firebase_vue/admin.py": ADMIN,
}
