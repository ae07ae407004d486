/** What the page knows: channels, messages, who has read them, who types, and who is there. */

export class Store {
  channels = new Map();
  presence = new Map();
  /** Messages that are on their way to the server, by their `client_msg_id`. */
  pending = new Map();

  constructor(user) {
    this.user = user;
  }

  channel(id) {
    if (!this.channels.has(id)) {
      this.channels.set(id, { id, name: id, unread: 0, messages: new Map(), replies: new Map(), typing: new Set(), draft: null });
    }
    return this.channels.get(id);
  }

  /** Add a message of a channel or a thread. Its place is its `seq`; one that came before is replaced. */
  add(message) {
    const channel = this.channel(message.channel_id);
    const known = this.find(message.channel_id, message.message_id);
    const merged = { readBy: known?.readBy ?? new Set(), ...message, seq: message.seq ?? known?.seq ?? Infinity };
    if (!message.thread_id || message.also_send_to_channel) channel.messages.set(message.message_id, merged);
    if (message.thread_id) channel.replies.set(message.message_id, merged);
    if (message.client_msg_id) this.pending.delete(message.client_msg_id);
    return known === undefined;
  }

  find(channelId, messageId) {
    const { messages, replies } = this.channel(channelId);
    return messages.get(messageId) ?? replies.get(messageId);
  }

  messages(channelId) {
    return inOrder(this.channel(channelId).messages.values());
  }

  replies(channelId, threadId) {
    return inOrder([...this.channel(channelId).replies.values()].filter((reply) => reply.thread_id === threadId));
  }

  replyCount(channelId, threadId) {
    return this.replies(channelId, threadId).length;
  }

  pendingOf(channelId, threadId) {
    const isThere = (message) => message.channel_id === channelId && message.thread_id === threadId;
    return [...this.pending.values()].filter(isThere);
  }

  setCounts(counts) {
    const known = new Map(Object.entries(counts));
    for (const channel of this.channels.values()) channel.unread = known.get(channel.id) ?? 0;
  }

  /** Forget the messages of a channel, before it is read again. */
  forget(channelId) {
    const channel = this.channel(channelId);
    channel.messages.clear();
    channel.replies.clear();
  }

  get totalUnread() {
    return [...this.channels.values()].reduce((total, { unread }) => total + unread, 0);
  }
}

function inOrder(messages) {
  return [...messages].sort((one, other) => one.seq - other.seq);
}
