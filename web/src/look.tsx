import { render } from "preact";

import { LookSession } from "./look_session";
import { Look } from "./parts/look";
import "./style.css";

const place = document.getElementById("page");
const draw = (): void => void (place !== null && render(<Look session={session} />, place));
const session: LookSession = new LookSession(draw);
draw();
