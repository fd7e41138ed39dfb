from concurrent.futures import ThreadPoolExecutor

import pytest


def test_a_short_link_leads_to_its_address(client):
    link = client.post("/links", {"url": "https://example.com/a?b=c"}).data
    answer = client.get(link["short"], allow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://example.com/a?b=c"


@pytest.mark.parametrize("url", ["", "example.com", "javascript:alert(1)", "https://"])
def test_what_is_no_address_of_the_web_is_refused(client, url):
    answer = client.post("/links", {"url": url})
    assert answer.status_code == 400
    assert "parameter url" in answer.data["more_info"]


def test_nobody_gets_a_link_that_is_not_there(client):
    assert client.get("/l/none").status_code == 404


def test_no_visit_is_lost_when_many_come_at_once(launch):
    with launch(workers=2) as client:
        link = client.post("/links", {"url": "https://example.com/"}).data
        with ThreadPoolExecutor(8) as visitors:
            for _ in range(40):
                visitors.submit(client.get, link["short"], allow_redirects=False)
        assert client.get(f"/links/{link['code']}").data == {"visits": 40}


def test_links_outlive_the_service(launch):
    with launch() as client:
        link = client.post("/links", {"url": "https://example.com/"}).data
    with launch() as client:
        assert client.get(link["short"], allow_redirects=False).status_code == 302
