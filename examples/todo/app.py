"""A list of things to do, with full text search: SQL, migrations and typed rows in one small class.

roost dev examples/todo/app.py

curl -d 'buy tea' localhost:8000/ada            # one more; the answer is the item
curl localhost:8000/ada                         # the list
curl 'localhost:8000/ada?search=tea'            # those that match, the best first
curl -X PUT localhost:8000/ada/1                # done
curl -X DELETE localhost:8000/ada/1             # gone
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from roost import DurableObject, DurableObjectState, Request, Response
from roost.errors import SQLError

STEPS = [
    "CREATE TABLE todo (id INTEGER PRIMARY KEY, text TEXT NOT NULL CHECK (text <> ''))",
    # The second version:
    "ALTER TABLE todo ADD COLUMN done INTEGER NOT NULL DEFAULT 0",
    # The third; the triggers keep the index beside the table.
    """
    CREATE VIRTUAL TABLE found USING fts5(text, content = todo, content_rowid = id, tokenize = 'porter unicode61');
    CREATE TRIGGER found_insert AFTER INSERT ON todo BEGIN
        INSERT INTO found (rowid, text) VALUES (new.id, new.text);
    END;
    CREATE TRIGGER found_delete AFTER DELETE ON todo BEGIN
        INSERT INTO found (found, rowid, text) VALUES ('delete', old.id, old.text);
    END;
    INSERT INTO found (found) VALUES ('rebuild');
    """,
]


@dataclass
class Todo:
    """A row, as `row_type` makes it."""

    id: int
    text: str
    done: bool


class TodoList(DurableObject):
    """One list. Nobody else writes to its database, so there is nothing to lock."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        ctx.storage.migrate(STEPS)
        self.sql = ctx.storage.sql

    async def fetch(self, request: Request) -> Response:
        number = request.path.strip("/").partition("/")[2]
        if request.method == "POST":
            return self.add((await request.text()).strip())
        if request.method == "PUT":
            return self.one("UPDATE todo SET done = 1 WHERE id = ? RETURNING *", number)
        if request.method == "DELETE":
            return self.one("DELETE FROM todo WHERE id = ? RETURNING *", number)
        search = request.query.get("search")
        return Response.json([asdict(todo) for todo in (self.all() if search is None else self.find(search))])

    def add(self, text: str) -> Response:
        if not text:
            return Response("say what there is to do\n", status=400)
        return self.one("INSERT INTO todo (text) VALUES (?) RETURNING *", text)

    def one(self, statement: str, value: str) -> Response:
        todo = next(self.sql.exec(statement, value, row_type=Todo), None)
        return Response("there is no such item\n", status=404) if todo is None else Response.json(asdict(todo))

    def all(self) -> list[Todo]:
        return self.sql.exec("SELECT * FROM todo ORDER BY done, id", row_type=Todo).to_array()

    def find(self, words: str) -> list[Todo]:
        query = "SELECT todo.* FROM found JOIN todo ON todo.id = found.rowid WHERE found MATCH ? ORDER BY rank"
        try:
            return self.sql.exec(query, words, row_type=Todo).to_array()
        except SQLError:  # not every text is a query of FTS5: look for it as it stands
            quoted = '"' + words.replace('"', '""') + '"'
            return self.sql.exec(query, quoted, row_type=Todo).to_array()


async def fetch(request: Request, env: Any) -> Response:
    """The first part of the path names the list."""
    name = request.path.strip("/").partition("/")[0]
    if not name:
        return Response("ask for /NAME\n", status=404)
    response: Response = await env.TODO_LIST.get_by_name(name).fetch(request)
    return response
