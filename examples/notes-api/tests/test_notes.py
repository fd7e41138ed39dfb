def test_a_note_from_its_beginning_to_its_end(client):
    added = client.axios.post("/api/notes", {"title": "Milk", "body": "two litres"})
    assert added.status_code == 201
    place = added.headers["Location"]
    assert client.get(place).data["body"] == "two litres"
    assert client.axios.patch(place, {"title": "Oat milk"}).data["title"] == "Oat milk"
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == 404


def test_bad_notes_are_refused(client):
    assert client.axios.post("/api/notes", {"body": "no title"}).status_code == 400
    assert client.axios.post("/api/notes", {"title": "x" * 101}).status_code == 400
    assert client.axios.post("/api/notes", {"title": "x", "colour": "red"}).status_code == 400


def test_pages_follow_each_other(client):
    for number in range(3):
        client.axios.post("/api/notes", {"title": f"page test {number}"})
    first = client.get("/api/notes", params={"q": "page test", "limit": 2}).data
    second = client.get(first["next"]).data
    titles = [note["title"] for note in first["notes"] + second["notes"]]
    assert titles == ["page test 2", "page test 1", "page test 0"]
