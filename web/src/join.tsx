import { render } from "preact";

import { App } from "./parts/app";
import { Session } from "./session";
import "./style.css";

const session = new Session();
session.attend();
void session.open();
const place = document.getElementById("page");
if (place !== null) render(<App session={session} />, place);
