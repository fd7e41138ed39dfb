"""What a developer sees in the browser under ``--devel``: failures, missing paths and routes.

Nothing of it is loaded elsewhere.
"""
