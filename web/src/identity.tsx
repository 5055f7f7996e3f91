import { render } from "preact";

import { IdentitySession } from "./identity_session";
import { IdentityScreen } from "./parts/identity";
import "./style.css";

const place = document.getElementById("page");
const draw = (): void => void (place !== null && render(<IdentityScreen page={session.page} picture={session.picture} />, place));
const session: IdentitySession = new IdentitySession(draw);
draw();
session.start();
