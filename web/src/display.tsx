import { render } from "preact";

import "./display.css";
import { DisplaySession } from "./display_session";
import { Display } from "./parts/display";

const place = document.getElementById("page");
const session: DisplaySession = new DisplaySession(() => {
  if (place !== null) render(<Display page={session.page} pictures={session.pictures} />, place);
});
if (place !== null) render(<Display page={session.page} pictures={session.pictures} />, place);
session.start();
