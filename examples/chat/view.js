/** Draws the store. Everything is drawn again at each change, at most once a frame; the page is small. */

const by = (id) => document.getElementById(id);

export class View {
  #due = false;

  /**
   * @param {Store} store
   * @param {object} session what is open: `focused`, `thread`, `connection`, `state`, `deviceId`, `devices`, `people`.
   * @param {object} actions `open(channel)` and `openThread(message)`.
   */
  constructor(store, session, actions) {
    [this.store, this.session, this.actions] = [store, session, actions];
  }

  /** Draw soon. */
  changed() {
    if (this.#due) return;
    this.#due = true;
    setTimeout(() => {
      this.#due = false;
      this.#draw();
    });
  }

  /** Add a line about the connection. */
  log(text) {
    by("log").append(element("li", "", `${new Date().toLocaleTimeString()}  ${text}`));
    by("log").lastChild.scrollIntoView();
  }

  #draw() {
    const { store, session } = this;
    by("user").textContent = store.user;
    by("connection").textContent = session.connection;
    by("connection").classList.toggle("bad", session.connection !== "connected");
    by("device").textContent = `…${session.deviceId.slice(-6)}`;
    by("devices").textContent = session.devices ? `${session.devices} devices` : "";
    by("state").textContent = session.state;
    by("total").textContent = store.totalUnread || "";
    document.title = store.totalUnread ? `(${store.totalUnread}) Fanout chat` : "Fanout chat";
    by("channels").replaceChildren(...[...store.channels.values()].map((channel) => this.#channel(channel)));
    by("people").replaceChildren(...session.people.map((user) => this.#person(user)));
    if (session.focused !== null) this.#drawChannel(session.focused);
    by("thread").hidden = session.thread === null;
    if (session.thread !== null) this.#drawThread(session.thread);
  }

  #channel({ id, name, unread, draft }) {
    const item = element("li", unread ? "news" : "");
    item.classList.toggle("open", id === this.session.focused);
    item.dataset.channel = id;
    item.append(element("span", "name", name.startsWith("@") ? name : `#${name}`));
    if (draft && id !== this.session.focused) item.append(element("span", "draft", "draft"));
    item.append(element("span", "unread", unread || ""));
    item.onclick = () => this.actions.open(id);
    return item;
  }

  #person(user) {
    const { status = "offline", status_text: text = "" } = this.store.presence.get(user) ?? {};
    const item = element("li");
    item.dataset.user = user;
    item.append(element("span", `dot ${status}`), element("span", "name", user), element("span", "status", text || status));
    return item;
  }

  #drawChannel(id) {
    const { name, typing } = this.store.channel(id);
    by("title").textContent = name.startsWith("@") ? name : `#${name}`;
    const lines = [...this.store.messages(id), ...this.store.pendingOf(id, undefined)];
    fill(by("messages"), lines.map((message) => this.#message(message, { withThread: true })));
    by("typing").textContent = typing.size ? `${[...typing].join(", ")} typing…` : "";
  }

  #drawThread({ channel_id: channel, message_id: id }) {
    const first = this.store.find(channel, id);
    const lines = [...(first ? [first] : []), ...this.store.replies(channel, id), ...this.store.pendingOf(channel, id)];
    fill(by("replies"), lines.map((message) => this.#message(message, { withThread: false })));
  }

  #message(message, { withThread }) {
    const item = element("li", message.failed ? "failed" : message.message_id ? "" : "pending");
    item.dataset.message = message.message_id ?? "";
    const when = message.sent_at ? new Date(message.sent_at).toLocaleTimeString() : "sending…";
    item.append(element("span", "sender", message.sender_id), " ", element("span", "when", message.failed ?? when), " ");
    if (withThread && message.message_id) item.append(this.#threadButton(message));
    if (message.readBy?.size) item.append(element("span", "readers", `read by ${[...message.readBy].sort().join(", ")}`));
    item.append(element("div", "text", message.text));
    return item;
  }

  #threadButton(message) {
    const count = this.store.replyCount(message.channel_id, message.thread_id ?? message.message_id);
    const button = element("button", "open-thread", message.thread_id ? "in a thread" : count ? `${count} ${count === 1 ? "reply" : "replies"}` : "reply");
    button.onclick = () => this.actions.openThread(message);
    return button;
  }
}

/** Replace the lines of a list, and stay at its end if it was there. */
function fill(list, lines) {
  const wasAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.replaceChildren(...lines);
  if (wasAtEnd) list.scrollTop = list.scrollHeight;
}

/** An element with a class and a text, which is never taken for HTML. */
function element(tag, className = "", text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}
