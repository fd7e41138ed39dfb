"""Rows of PostgreSQL in Django by its models, all in one file; served by Granian and gunicorn.

No middleware; a persistent connection for each thread; JSON through orjson.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import orjson
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from benchmarks.apps.picks import keys

if TYPE_CHECKING:
    from django.http import HttpRequest

settings.configure(
    DEBUG=False,
    SECRET_KEY="a secret of the benchmark, not of anybody",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_I18N=False,
    LOGGING_CONFIG=None,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
            "PASSWORD": os.environ["PGPASSWORD"],
            "NAME": os.environ["PGDATABASE"],
            "CONN_MAX_AGE": None,
        }
    },
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.jinja2.Jinja2",
            "DIRS": [Path(__file__).parent / "templates"],
        }
    ],
)
django.setup()

# A model can be made only when Django is set up.
from django.db import models  # noqa: E402


class Item(models.Model):
    """The table of the benchmark, which is there already."""

    id = models.IntegerField(primary_key=True)
    name = models.TextField()
    price = models.FloatField()

    class Meta:
        app_label = "benchmark"
        db_table = "item"
        managed = False


def as_dict(item: Item) -> dict[str, Any]:
    """Return what is shown of an item."""
    return {"id": item.id, "name": item.name, "price": item.price}


def as_json(value: Any) -> HttpResponse:
    """Return a JSON response."""
    return HttpResponse(orjson.dumps(value), content_type="application/json")


@require_GET
def row(request: HttpRequest, id: int) -> HttpResponse:
    """Answer with one row."""
    return as_json(as_dict(Item.objects.get(id=id)))


@require_GET
def queries(request: HttpRequest, id: int) -> HttpResponse:
    """Ask 20 times, one after the other."""
    return as_json([as_dict(Item.objects.get(id=key)) for key in keys(id)])


@require_GET
def page(request: HttpRequest, id: int) -> HttpResponse:
    """Render 50 rows."""
    items = Item.objects.filter(id__range=(id, id + 49)).order_by("id")
    return render(request, "table.html", {"title": f"Items from {id}", "items": items})


urlpatterns = [
    path("row/<int:id>", row),
    path("queries/<int:id>", queries),
    path("page/<int:id>", page),
]
app = get_wsgi_application()
