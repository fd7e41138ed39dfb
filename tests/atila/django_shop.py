"""Models of Django for tests, without a project: nothing is asked of a database."""

from __future__ import annotations

import uuid

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        TIME_ZONE="Europe/Berlin",
        USE_TZ=True,
    )
    django.setup()

from django.core.validators import MinValueValidator
from django.db import models

from atila.patches.djangopatch import Model


class Level(models.TextChoices):
    USER = "user"
    STAFF = "staff"


class Person(Model):
    uid = models.CharField(max_length=8)
    nick = models.CharField(max_length=8, null=True, blank=True)
    note = models.TextField(blank=True)
    level = models.CharField(max_length=8, choices=Level.choices, default=Level.USER)
    age = models.IntegerField(null=True, validators=[MinValueValidator(0)])
    email = models.EmailField(null=True, blank=True)

    class Meta:
        app_label = "shop"


class Order(Model):
    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner = models.ForeignKey(Person, models.CASCADE, related_name="orders")
    parent = models.ForeignKey("self", models.CASCADE, null=True)
    total = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    weight = models.FloatField(null=True)
    paid = models.BooleanField(default=False)
    day = models.DateField(auto_now_add=True)
    hour = models.TimeField(null=True)
    at = models.DateTimeField(null=True)
    took = models.DurationField(null=True)
    data = models.JSONField(null=True)
    changed = models.DateTimeField(auto_now=True)
    group = models.CharField(max_length=3, default="", blank=True)

    class Meta:
        app_label = "shop"
        db_table = "order"


class Rush(Order):
    class Meta:
        app_label = "shop"


class Old(Person):
    class Meta:
        app_label = "shop"
        proxy = True


class Loud(Model):
    userName = models.CharField(max_length=8)

    class Meta:
        app_label = "shop"
