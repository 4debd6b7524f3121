// data: {name, cookie}. Keeps the chosen local user for this browser's later sessions.
export default function remember({ data }) {
  const year = 365 * 24 * 3600;
  const value = encodeURIComponent(data.name);
  document.cookie = `${data.cookie}=${value}; path=/; max-age=${year}; SameSite=Strict`;
}
