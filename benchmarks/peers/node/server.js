// The peer: Node with `ws`, and better-sqlite3 for what is stored: one process, one database, a sync for each commit.
//
//     node server.js database.sqlite
//
// The path says what a room does with a message, as in ../bare/bare.c.

import Database from 'better-sqlite3';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const database = new Database(process.argv[2]);
database.pragma('journal_mode = WAL');
database.pragma('synchronous = FULL');
database.exec('CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID');
const put = database.prepare('INSERT INTO kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value');

const rooms = new Map();
const counts = new Map();

function sendToOthers(members, sender, message) {
  for (const member of members) {
    if (member !== sender) member.send(message, { binary: false });
  }
}

const works = {
  '/echo': (room, members, sender, message) => sender.send(message, { binary: false }),
  '/broadcast': (room, members, sender, message) => sendToOthers(members, sender, message),
  '/noting': (room, members, sender, message) => {
    put.run(room, message);
    sender.send(message, { binary: false });
  },
  '/storing': (room, members, sender, message) => {
    put.run(room, message);
    sendToOthers(members, sender, message);
  },
};

const server = createServer((request, response) => {
  const count = (counts.get(request.url) ?? 0) + 1;
  counts.set(request.url, count);
  response.end(String(count));
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false });

sockets.on('connection', (socket, request) => {
  const room = request.url;
  const work = works[room.split('?')[0]];
  if (!rooms.has(room)) rooms.set(room, new Set());
  const members = rooms.get(room);
  members.add(socket);
  socket.on('close', () => members.delete(socket));
  socket.on('message', (message) => work(room, members, socket, message));
});

server.listen(0, '127.0.0.1', 1024, () => console.log(`http://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
