"""The answers in Django, all in one file; served by Granian and gunicorn.

No middleware but the session's, and that only where a session is used; JSON through orjson.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import orjson
from django import forms
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.decorators import decorator_from_middleware
from django.views.decorators.http import require_GET, require_POST

if TYPE_CHECKING:
    from django.http import HttpRequest

settings.configure(
    DEBUG=False,
    SECRET_KEY="a secret of the benchmark, not of anybody",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_I18N=False,
    LOGGING_CONFIG=None,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.jinja2.Jinja2",
            "DIRS": [Path(__file__).parent / "templates"],
        }
    ],
)
django.setup()

ITEMS = [{"id": n, "name": f"<item {n}> & co.", "price": n * 2.5} for n in range(1, 51)]
GENDERS = [("male", "Male"), ("female", "Female"), ("other", "Other")]


class PersonForm(forms.Form):
    """Ten fields; `comment` may be missing."""

    name = forms.CharField(min_length=3, max_length=64)
    email = forms.EmailField()
    age = forms.IntegerField(min_value=18, max_value=130)
    gender = forms.ChoiceField(choices=GENDERS)
    birth_year = forms.IntegerField(min_value=1900, max_value=2030)
    newsletter = forms.BooleanField(required=False)
    score = forms.FloatField()
    city = forms.CharField()
    zip = forms.RegexField(r"^[0-9]{5}$")
    comment = forms.CharField(required=False, empty_value=None)


def as_json(value: Any, status: int = 200) -> HttpResponse:
    """Return a JSON response."""
    return HttpResponse(orjson.dumps(value), content_type="application/json", status=status)


@require_GET
def plaintext(request: HttpRequest) -> HttpResponse:
    """Answer with text."""
    return HttpResponse(b"Hello, World!", content_type="text/plain")


@require_GET
def item(request: HttpRequest, id: int) -> HttpResponse:
    """Answer with JSON."""
    return as_json({"id": id, "q": request.GET["q"]})


@require_POST
def form(request: HttpRequest) -> HttpResponse:
    """Check and convert a form."""
    person = PersonForm(request.POST)
    if not person.is_valid():
        return as_json({"errors": person.errors.get_json_data()}, 422)
    return as_json(person.cleaned_data)


@require_GET
@decorator_from_middleware(SessionMiddleware)
def count(request: HttpRequest) -> HttpResponse:
    """Count in the session."""
    request.session["count"] = request.session.get("count", 0) + 1
    return as_json({"count": request.session["count"]})


@require_GET
def template(request: HttpRequest) -> HttpResponse:
    """Render 50 rows."""
    return render(request, "table.html", {"title": request.GET["title"], "items": ITEMS})


urlpatterns = [
    path("plaintext", plaintext),
    path("items/<int:id>", item),
    path("form", form),
    path("session", count),
    path("template", template),
]
app = get_wsgi_application()
