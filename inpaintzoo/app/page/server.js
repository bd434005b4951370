// Requests; a refusal becomes an Error with the server's sentence.

export async function request(path, fields, options = {}) {
  let answer;
  try {
    answer = await fetch(path, fields ? { method: "POST", body: form(fields), ...options } : options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer; start it again with inpaintzoo app.");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  throw new Error(told.error);
}

function form(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each instanceof Blob) data.append(name, each, each.name ?? "mask.png");
      else if (each !== null && each !== undefined) data.append(name, each);
    }
  }
  return data;
}

export async function bitmap(url) {
  const blob = await (await request(url)).blob();
  return createImageBitmap(blob).catch(() => {
    throw new Error("The browser cannot show this picture.");
  });
}

export async function bitmapOf(base64) {
  return createImageBitmap(new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))]));
}
