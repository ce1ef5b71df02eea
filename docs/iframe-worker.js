// The site's search runs in a worker, which browsers start for no page that was opened from a file.
// There, the worker's script runs in a hidden frame instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      this.inner = new Promise((done) => {
        frame.addEventListener("load", () => {
          const { contentWindow, contentDocument } = frame
          contentWindow.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
          const script = contentDocument.createElement("script")
          script.src = new URL(url, location.href).href
          script.addEventListener("load", () => done(contentWindow))
          contentDocument.body.append(script)
        }, { once: true })
      })
      document.documentElement.append(frame)
    }

    postMessage(data) {
      this.inner.then((inner) => inner.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
}
