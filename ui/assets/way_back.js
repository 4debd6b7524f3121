// data: {keep}. At the door (keep) this tab notes where somebody was going; let in, and sent by the
// identity provider to where the console begins, they are sent on, within this console alone.
const KEY = "heartwood_going_to";

export default function wayBack({ data }) {
  const here = location.pathname + location.search;
  if (data.keep) {
    sessionStorage.setItem(KEY, here);
    return;
  }
  const wanted = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (!wanted || wanted === here || location.search || !wanted.startsWith(location.pathname)) return;
  const url = new URL(wanted, location.origin);
  if (wanted.startsWith("//") || url.origin !== location.origin) return;
  location.replace(url.href);
}
