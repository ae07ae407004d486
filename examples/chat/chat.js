/** A small chat on `fanout.js`: `?user=alice` says who it is. Each tab is a device of its own. */

import { FanoutClient, newDeviceId } from "./fanout.js";
import { Rest, untilDone } from "./rest.js";
import { Store } from "./store.js";
import { View } from "./view.js";

const SAVE_DRAFT_AFTER_MS = 1_000;
const COUNT_AFTER_MS = 400;
const READ_AGAIN_AFTER_MS = 300;
const PAGE = 50;

const by = (id) => document.getElementById(id);
const user = new URLSearchParams(location.search).get("user") ?? "alice";
const { gateway, people } = await (await fetch("config")).json();

let token = null;
const renewToken = async () => (token = (await (await fetch(`token?user=${encodeURIComponent(user)}`)).json()).token);
const rest = new Rest(gateway, async () => token ?? renewToken());

const deviceId = (sessionStorage.deviceId ??= newDeviceId());
const session = { focused: null, thread: null, connection: "connecting", state: "active", deviceId, devices: 0, people };
const store = new Store(user);
const view = new View(store, session, { open: openChannel, openThread });
const client = new FanoutClient({ gateway, token: renewToken, deviceId, onEvent: take, state: "active" });

// What comes.

function take(event) {
  HANDLERS[event.type]?.(event);
  view.changed();
}

const HANDLERS = {
  "auth.ok": () => {
    session.connection = "connected";
    view.log("connected");
    refreshDevices();
    if (session.focused === null) begin();
  },
  disconnected: ({ reason, code, retryInMs }) => {
    session.connection = "reconnecting";
    for (const channel of store.channels.values()) channel.typing.clear();
    view.log(`${reason}${code ? ` (${code})` : ""}; next attempt in ${(retryInMs / 1000).toFixed(1)} s`);
  },
  ended: ({ reason, code }) => {
    session.connection = "ended";
    view.log(`ended: ${reason} (${code})`);
  },
  "resume.dropped": () => readAgain("resuming failed; everything is read again"),
  full_refresh_required: ({ reason, after_ms: ms = 0 }) =>
    setTimeout(() => readAgain(`something was missed (${reason}); everything is read again`), ms),
  "catchup.complete": ({ tier }) => {
    view.log(`caught up (tier ${tier})`);
    countSoon();
  },
  catchup: ({ channels }) => {
    for (const { channel_id: id, messages, more } of channels) {
      messages.forEach(receive);
      if (more) readChannel(id);
    }
  },
  "unread.counts": ({ channels }) => {
    store.setCounts(channels);
    if (session.focused !== null) readChannel(session.focused);
  },
  "message.new": ({ seq, message }) => receive({ ...message, seq }),
  "thread.reply": ({ seq, message }) => receive({ ...message, seq }),
  typing: ({ channel_id: channel, user_id: who, typing }) => {
    const { typing: them } = store.channel(channel);
    if (typing) them.add(who);
    else them.delete(who);
  },
  "receipt.read": ({ channel_id: channel, message_id: message, read_by: readers }) => {
    const known = store.find(channel, message);
    for (const reader of known ? readers : []) known.readBy.add(reader);
  },
  "presence.update": (update) => store.presence.set(update.user, update),
  "member.joined": ({ user_id: who }) => who === user && readChannels(),
  "member.left": ({ channel_id: channel, user_id: who }) => who === user && store.channels.delete(channel),
  "sync.read": countSoon,
  "sync.draft": showDraft,
  "draft.load": showDraft,
  state: ({ state }) => (session.state = state),
  error: ({ code, message }) => view.log(`error: ${message} (${code})`),
};

function receive(message) {
  const channel = store.channel(message.channel_id);
  channel.typing.delete(message.sender_id);
  if (!store.add(message)) return;
  if (message.sender_id !== user && isSeen(message.channel_id)) read(message);
  countSoon();
}

/** Whether the user looks at a channel at this device. */
function isSeen(channel) {
  return channel === session.focused && !document.hidden;
}

function read(message) {
  store.channel(message.channel_id).unread = 0;
  countSoon();
  client.markRead(message.channel_id, message.message_id);
  client.messageRead(message.channel_id, message.message_id);
}

// What is read by REST.

async function readChannels() {
  const listed = [];
  for await (const page of rest.pages("channels.list", { limit: 200 })) listed.push(...page.channels);
  const ids = new Set(listed.map(({ channel_id: id }) => id));
  for (const id of store.channels.keys()) if (!ids.has(id)) store.channels.delete(id);
  for (const { channel_id: id, name, unread } of listed) {
    Object.assign(store.channel(id), { name: name || (await nameOfDm(id)), unread });
  }
  view.changed();
}

/** The other user of a direct message: its channel's id is made of the two (docs/contract.md). */
async function nameOfDm(id) {
  for (const other of people) if ((await dmId(user, other)) === id) return `@${other}`;
  return id;
}

async function dmId(...pair) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(pair.sort().join(":")));
  const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `dm_${hex.slice(0, 40)}`;
}

/** Read the newest messages of a channel, again until the history has all that the log held at first. */
async function readChannel(id) {
  let end, messages;
  for (let isComplete = false; !isComplete; ) {
    const page = await untilDone(() => rest.get("channels.history", { channel: id, limit: PAGE }));
    [messages, end] = [page.messages, end ?? page.newest_seq];
    messages.forEach((message) => store.add(message));
    view.changed();
    isComplete = end !== undefined && page.upto_seq >= end;
    if (!isComplete) await new Promise((resolve) => setTimeout(resolve, READ_AGAIN_AFTER_MS));
  }
  if (isSeen(id)) readUpTo(messages);
  const own = messages.filter(({ sender_id: sender }) => sender === user).slice(0, 10);
  await Promise.all(own.map(readReceipts));
  view.changed();
}

/** The newest message of others counts as read, and what is before it with it. */
function readUpTo(messages) {
  const newest = messages.find(({ sender_id: sender }) => sender !== user);
  if (newest) read(newest);
}

async function readReceipts({ channel_id: channel, message_id: message }) {
  const { receipts } = await rest.get("messages.receipts", { channel, message_id: message });
  for (const { user_id: reader } of receipts) store.find(channel, message)?.readBy.add(reader);
}

async function readThread({ channel_id: channel, message_id: thread }) {
  for await (const { replies } of rest.pages("threads.replies", { thread_id: thread })) {
    replies.forEach((reply) => store.add({ ...reply, channel_id: channel }));
  }
  view.changed();
}

async function readAgain(why) {
  view.log(why);
  await untilDone(readChannels);
  if (session.focused !== null) await readChannel(session.focused);
  if (session.thread !== null) await readThread(session.thread);
}

let counting = null;
/** Ask for the unread counts once nothing has come for a moment: the server counts messages and reads of all devices. */
function countSoon() {
  clearTimeout(counting);
  counting = setTimeout(async () => {
    const { channels } = await untilDone(() => rest.get("unread.counts"));
    store.setCounts(channels);
    view.changed();
  }, COUNT_AFTER_MS);
}

async function refreshDevices() {
  const { devices } = await rest.get("devices.list").catch(() => ({ devices: [] }));
  session.devices = devices.length;
  view.changed();
}

// What the user does.

async function openChannel(id) {
  [session.focused, session.thread] = [id, null];
  by("text").value = store.channel(id).draft?.text ?? "";
  client.openChannel(id);
  view.changed();
  await readChannel(id);
}

async function openThread(message) {
  session.thread = { channel_id: message.channel_id, message_id: message.thread_id ?? message.message_id };
  view.changed();
  await readThread(session.thread);
}

/** Show a message at once, and send it until the server has it; `client_msg_id` makes it one message. */
async function send(text, reply = {}) {
  const channel = session.focused;
  const id = crypto.randomUUID();
  const pending = { channel_id: channel, sender_id: user, text, client_msg_id: id, ...reply };
  store.pending.set(id, pending);
  view.changed();
  try {
    await untilDone(() => rest.post("chat.sendMessage", { channel, text, client_msg_id: id, ...reply }));
  } catch (error) {
    pending.failed = error.message;
    view.changed();
  }
}

let saving = null;
function showDraft({ channel_id: id, draft }) {
  store.channel(id).draft = draft;
  if (id === session.focused) by("text").value = draft?.text ?? "";
}

function saveDraftSoon() {
  const [channel, text] = [session.focused, by("text").value];
  store.channel(channel).draft = text ? { text } : null;
  clearTimeout(saving);
  saving = setTimeout(() => saveDraft(channel, text), SAVE_DRAFT_AFTER_MS);
}

function saveDraft(channel, text) {
  clearTimeout(saving);
  store.channel(channel).draft = text ? { text } : null;
  client.saveDraft(channel, text ? { text } : null);
}

by("text").addEventListener("input", () => {
  client.typing(session.focused);
  saveDraftSoon();
});

by("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey) return;
  event.preventDefault();
  by("compose").requestSubmit();
});

by("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = by("text").value.trim();
  if (!text) return;
  by("text").value = "";
  client.stopTyping(session.focused);
  saveDraft(session.focused, "");
  send(text);
});

by("reply").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = by("reply-text").value.trim();
  by("reply-text").value = "";
  if (text) send(text, { thread_id: session.thread.message_id, also_send_to_channel: by("also").checked });
});

by("close-thread").addEventListener("click", () => {
  session.thread = null;
  view.changed();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && session.focused !== null) readUpTo(store.messages(session.focused).reverse());
});

/** Read what there is once the connection is open: what is posted later comes over it. */
async function begin() {
  await untilDone(readChannels);
  const [first] = store.channels.keys();
  if (first !== undefined) await openChannel(store.channels.has("general") ? "general" : first);
}

/** For the console, and for tests. */
window.client = client;
client.watchPage(document);
client.watchPresence(people);
client.start();
view.log(`this is ${user} on ${deviceId}`);
view.changed();
