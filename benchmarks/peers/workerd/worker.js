// The peer: workerd, which runs Durable Objects on one's own machine. The same objects as in ../../apps/questions.py,
// held by the hibernation API; /class?room=x is the socket of an object of that class.

import { DurableObject } from 'cloudflare:workers';

class Held extends DurableObject {
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  sendToOthers(sender, message) {
    for (const member of this.ctx.getWebSockets()) {
      if (member !== sender) member.send(message);
    }
  }
}

export class Echo extends Held {
  webSocketMessage(socket, message) {
    socket.send(message);
  }
}

export class Broadcast extends Held {
  webSocketMessage(socket, message) {
    this.sendToOthers(socket, message);
  }
}

export class Noting extends Held {
  webSocketMessage(socket, message) {
    this.ctx.storage.put('last', message);
    socket.send(message);
  }
}

export class Storing extends Held {
  webSocketMessage(socket, message) {
    this.ctx.storage.put('last', message);
    this.sendToOthers(socket, message);
  }
}

export class Sleeper extends Held {
  constructor(ctx, env) {
    super(ctx, env);
    this.fresh = '1';
    ctx.blockConcurrencyWhile(async () => {
      this.stored = (await ctx.storage.get('count')) ?? 0;
    });
  }

  webSocketMessage(socket, message) {
    socket.send(this.fresh + message);
    this.fresh = '0';
  }
}

export class Count extends DurableObject {
  #count = 0;

  fetch() {
    return new Response(String(++this.#count));
  }
}

export default {
  fetch(request, env) {
    const url = new URL(request.url);
    const namespace = env[url.pathname.slice(1)];
    if (!namespace) return new Response('the path must name a class\n', { status: 404 });
    return namespace.get(namespace.idFromName(url.searchParams.get('room') ?? '0')).fetch(request);
  },
};
