// The peer: rooms in one process of Node, with `ws` and better-sqlite3, each message stored before anybody sees it.
//
//     node server.js DATABASE
//
// The path of the request is the room. synchronous=FULL: each commit waits for its own fsync, and the loop with it.

import Database from 'better-sqlite3';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const database = new Database(process.argv[2]);
database.pragma('journal_mode = WAL');
database.pragma('synchronous = FULL');
database.exec('CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID');
const put = database.prepare('INSERT INTO kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value');

const rooms = new Map();
const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });

sockets.on('connection', (socket, request) => {
  const name = request.url;
  if (!rooms.has(name)) rooms.set(name, new Set());
  const members = rooms.get(name);
  members.add(socket);
  socket.on('close', () => members.delete(socket));
  socket.on('message', (message) => {
    put.run(name, message);
    for (const member of members) {
      if (member !== socket) member.send(message, { binary: false });
    }
  });
});

server.listen(0, '127.0.0.1', 1024, () => console.log(`http://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
